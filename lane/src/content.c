#include "lane.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

/* Content nodes: see docs/format.md, and store/artstore/rows/content.py, which does the same. */
enum {
    KIND_CHUNK = 1,
    KIND_LIST = 2,
    CHUNK_HEAD = 59,
    LIST_HEAD = 66,
    LIST_ROW = 16,
    FINE_VERSION = 2,
    BLOCK = 64 * 1024,
    FINE_BLOCK = 4 * 1024,
    RAW = 0,
    ZSTD = 1,
    ID = 32,
    SLOTS = 16,
};

struct chunk {
    const u8 *id, *checksums;
    u32 size, stored, pack, offset, blocks;
    unsigned codec;
};

struct list {
    const u8 *rows;
    u64 size;
    u32 count, level;
};

struct content {
    bool is_list;
    struct chunk chunk;
    struct list list;
};

struct part {
    struct chunk chunk;
    u32 start, end;
};

struct parts {
    int count;
    struct part each[MOST_PARTS];
};

static int open_chunk(const u8 *data, size_t length, struct chunk *chunk)
{
    if (length < CHUNK_HEAD || data[1] < 1 || data[1] > FINE_VERSION)
        return UNUSUAL;
    chunk->id = data + 2;
    chunk->size = get32(data + 42);
    chunk->codec = data[46];
    chunk->pack = get32(data + 47);
    chunk->offset = get32(data + 51);
    chunk->stored = get32(data + 55);
    chunk->checksums = data + CHUNK_HEAD;
    u32 block = data[1] == FINE_VERSION ? FINE_BLOCK : BLOCK;
    if (chunk->stored > chunk->size || chunk->size > LARGEST_CHUNK || !chunk->stored != !chunk->size)
        return UNUSUAL;
    chunk->blocks = (chunk->stored + block - 1) / block;
    if (length != CHUNK_HEAD + 8 * (size_t)chunk->blocks || (block == FINE_BLOCK && chunk->stored <= FINE_BLOCK))
        return UNUSUAL;
    return OK;
}

static int open_list(const u8 *data, size_t length, struct list *list)
{
    if (length < LIST_HEAD || data[1] != 1)
        return UNUSUAL;
    list->size = get64(data + 42);
    list->level = data[50];
    list->count = get16(data + 64);
    list->rows = data + LIST_HEAD;
    if (!list->count || list->count > FANOUT || length != LIST_HEAD + (size_t)LIST_ROW * list->count)
        return UNUSUAL;
    u64 before = 0;
    for (u32 each = 0; each < list->count; each++) {
        u64 stop = get64(list->rows + each * LIST_ROW + 8);
        if (stop <= before)
            return UNUSUAL;
        before = stop;
    }
    return before == list->size ? OK : UNUSUAL;
}

static int open_node(struct snapshot *snapshot, u64 node, struct content *content)
{
    const u8 *data;
    size_t length;
    if (node_record(snapshot, node, &data, &length))
        return UNUSUAL;
    content->is_list = data[0] == KIND_LIST;
    if (data[0] == KIND_CHUNK)
        return open_chunk(data, length, &content->chunk);
    return content->is_list ? open_list(data, length, &content->list) : UNUSUAL;
}

static int add_parts(struct snapshot *snapshot, const struct content *content, u64 start, u64 stop, struct parts *parts)
{
    if (start >= stop)
        return OK;
    if (!content->is_list) {
        if (parts->count == MOST_PARTS)
            return UNUSUAL;
        parts->each[parts->count++] = (struct part){content->chunk, (u32)start, (u32)stop};
        return OK;
    }
    const struct list *list = &content->list;
    u32 low = 0, high = list->count; /* the first child that ends after the start */
    while (low < high) {
        u32 middle = (low + high) / 2;
        if (get64(list->rows + middle * LIST_ROW + 8) <= start)
            low = middle + 1;
        else
            high = middle;
    }
    u64 base = low ? get64(list->rows + (low - 1) * LIST_ROW + 8) : 0;
    for (; low < list->count && base < stop; low++) {
        struct content child;
        u64 after = get64(list->rows + low * LIST_ROW + 8);
        if (open_node(snapshot, get64(list->rows + low * LIST_ROW), &child))
            return UNUSUAL;
        u64 size = child.is_list ? child.list.size : child.chunk.size;
        if (size != after - base || (child.is_list ? child.list.level + 1 != list->level : list->level != 0))
            return UNUSUAL;
        u64 from = start > base ? start - base : 0, to = (stop < after ? stop : after) - base;
        if (add_parts(snapshot, &child, from, to, parts))
            return UNUSUAL;
        base = after;
    }
    return OK;
}

static bool is_whole(const u8 *data, size_t length, u32 block, const u8 *checksums)
{
    for (size_t at = 0; at < length; at += block, checksums += 8)
        if (checksum(data + at, length - at < block ? length - at : block, 0) != get64(checksums))
            return false;
    return true;
}

/* A thread that waits for the disk must not keep others from the device.  File systems that cannot say whether they would
 * wait, such as tmpfs, are taken for fast ones. */
static int read_exactly(int descriptor, u8 *to, size_t length, u64 offset)
{
    static _Atomic bool is_silent;
    struct iovec part = {to, length};
    size_t done = 0;
    ssize_t count;
    if (!is_silent) {
        count = preadv2(descriptor, &part, 1, offset, RWF_NOWAIT);
        done = count > 0 ? count : 0;
        is_silent = count < 0 && errno == EOPNOTSUPP;
        if (done < length && !is_silent)
            off_duty(this_clerk);
    }
    while (done < length) {
        count = pread(descriptor, to + done, length - done, offset + done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return UNUSUAL;
        done += count;
    }
    return OK;
}

static u32 block_of(const struct chunk *chunk) { return chunk->blocks == (chunk->stored + BLOCK - 1) / BLOCK ? BLOCK : FINE_BLOCK; }

/* -- decompressed chunks, for reads of parts ----------------------------------------------------------------------- */

static struct slot {
    pthread_mutex_t lock;
    bool is_filled;
    u8 id[ID];
    u8 *data;
} slots[SLOTS];

static _Thread_local ZSTD_DCtx *context;

void open_content(void)
{
    for (int each = 0; each < SLOTS; each++)
        pthread_mutex_init(&slots[each].lock, NULL);
}

static int decompress(const struct chunk *chunk, struct pack *pack, u8 *to, u8 *room)
{
    if (read_exactly(pack->descriptor, room, chunk->stored, chunk->offset))
        return UNUSUAL;
    if (!is_whole(room, chunk->stored, block_of(chunk), chunk->checksums))
        return UNUSUAL;
    if (ZSTD_getFrameContentSize(room, chunk->stored) != chunk->size)
        return UNUSUAL;
    if (!context && !(context = ZSTD_createDCtx()))
        return UNUSUAL;
    return ZSTD_decompressDCtx(context, to, chunk->size, room, chunk->stored) == chunk->size ? OK : UNUSUAL;
}

/* Chunks of which a part is read are kept: the next read needs the next part. The first thread decompresses a chunk, and
 * those that need it meanwhile wait. */
static int read_compressed(const struct part *part, struct pack *pack, u8 *to, u8 *room)
{
    const struct chunk *chunk = &part->chunk;
    u32 length = part->end - part->start;
    if (part->end > chunk->size)
        return UNUSUAL;
    if (length == chunk->size)
        return decompress(chunk, pack, to, room);
    struct slot *slot = &slots[get32(chunk->id) % SLOTS];
    int outcome = OK, counted = COUNT_CACHE_HITS;
    if (pthread_mutex_trylock(&slot->lock)) {
        off_duty(this_clerk);
        pthread_mutex_lock(&slot->lock);
    }
    if (!slot->data)
        slot->data = malloc(LARGEST_CHUNK);
    if (!slot->data)
        outcome = UNUSUAL;
    else if (!slot->is_filled || memcmp(slot->id, chunk->id, ID)) {
        slot->is_filled = false;
        counted = COUNT_CACHE_MISSES;
        outcome = decompress(chunk, pack, slot->data, room);
        memcpy(slot->id, chunk->id, ID);
        slot->is_filled = !outcome;
    }
    if (!outcome)
        memcpy(to, slot->data + part->start, length);
    pthread_mutex_unlock(&slot->lock);
    if (!outcome) /* what failed is handed over, and counted there */
        count(counted, 1);
    return outcome;
}

/* -- reading --------------------------------------------------------------------------------------------------------- */

static void add_piece(struct answer *answer, u8 *data, size_t length)
{
    answer->parts[++answer->count] = (struct iovec){data, length};
    answer->length += length;
}

/* Raw parts that follow each other in a pack are read at once, in whole blocks. */
static int read_raw(const struct part *first, int count, struct pack *pack, struct answer *answer, size_t *used)
{
    const struct part *last = first + count - 1;
    u32 block = block_of(&first->chunk), last_block = block_of(&last->chunk);
    u64 low = (u64)first->chunk.offset + first->start / block * block;
    u64 stop = (u64)last->end + last_block - 1;
    stop -= stop % last_block;
    u64 high = last->chunk.offset + (stop < last->chunk.stored ? stop : last->chunk.stored);
    if (high < low || high - low > ROOM - *used)
        return UNUSUAL;
    u8 *data = answer->room + *used;
    *used += high - low;
    if (read_exactly(pack->descriptor, data, high - low, low))
        return UNUSUAL;
    for (int each = 0; each < count; each++) {
        const struct part *part = first + each;
        const struct chunk *chunk = &part->chunk;
        block = block_of(chunk);
        u32 begin = part->start / block * block;
        u64 until = (u64)part->end + block - 1;
        until -= until % block;
        if (until > chunk->stored)
            until = chunk->stored;
        u8 *from = data + (chunk->offset - low) + begin;
        if (!is_whole(from, until - begin, block, chunk->checksums + 8 * (size_t)(begin / block)))
            return UNUSUAL;
        add_piece(answer, from + (part->start - begin), part->end - part->start);
    }
    return OK;
}

static bool goes_on(const struct chunk *before, const struct chunk *after)
{
    return after->codec == RAW && before->pack == after->pack && (u64)before->offset + before->stored == after->offset;
}

int read_content(struct snapshot *snapshot, u64 node, u64 offset, u64 size, struct answer *answer)
{
    static _Thread_local struct parts parts;
    struct content content;
    size_t used = 0;
    parts.count = answer->count = 0;
    answer->length = 0;
    if (open_node(snapshot, node, &content))
        return UNUSUAL;
    u64 whole = content.is_list ? content.list.size : content.chunk.size;
    if (offset >= whole)
        return OK;
    u64 stop = size < whole - offset ? offset + size : whole;
    if (add_parts(snapshot, &content, offset, stop, &parts))
        return UNUSUAL;
    for (int next = 0; next < parts.count;) {
        const struct part *part = parts.each + next;
        int run = 1;
        if (part->chunk.codec == RAW)
            while (next + run < parts.count && goes_on(&parts.each[next + run - 1].chunk, &parts.each[next + run].chunk))
                run++;
        for (int each = 0; each < run; each++)
            if (part[each].chunk.codec == RAW && part[each].end > part[each].chunk.stored)
                return UNUSUAL;
        struct pack *pack = part->chunk.codec <= ZSTD ? hold_pack(part->chunk.pack) : NULL;
        if (!pack)
            return UNUSUAL;
        if (!content.is_list)
            touch_region(pack, part->chunk.offset);
        int outcome;
        if (part->chunk.codec == RAW)
            outcome = read_raw(part, run, pack, answer, &used);
        else {
            u32 length = part->end - part->start;
            outcome = UNUSUAL;
            if (used + length + part->chunk.stored <= ROOM) {
                u8 *to = answer->room + used;
                used += length;
                outcome = read_compressed(part, pack, to, answer->room + used);
                add_piece(answer, to, length);
            }
        }
        release_pack(pack);
        if (outcome)
            return UNUSUAL;
        next += run;
    }
    return OK;
}
