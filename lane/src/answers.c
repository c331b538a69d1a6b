#include "lane.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* The answers of fs/artfs/mount/transports/direct.py and fs/artfs/mount/tree.py, byte for byte, for the entries of
 * living versions. */
#define FOREVER (1ULL << 31)
#define ENTRY_CLASS 1
#define INDEX_BITS 31
#define INDEX_MASK ((1ULL << INDEX_BITS) - 1)
#define BILLION 1000000000LL
static const char xattr_prefix[] = "user.artfs.";

/* -- the content nodes of files that were looked up: see fs/artfs/mount/nodetable.py --------------------------------- */

enum { TABLE = 1 << 17 };
static struct {
    _Atomic u64 inode, value, check;
} table[TABLE];

static u64 check_of(u64 inode, u64 value, u64 now) { return inode + value * 0x9E3779B97F4A7C15 + now * 0xD6E8FEB86659FD93; }

static u64 known_content(u64 inode, u64 now)
{
    u64 at = (inode ^ inode >> 31) % TABLE, value = table[at].value;
    return table[at].inode == inode && table[at].check == check_of(inode, value, now) ? value : 0;
}

static void remember_content(u64 inode, const struct entry *entry, u64 now)
{
    u64 at = (inode ^ inode >> 31) % TABLE, value = entry->node << 3 | kind_of(entry);
    table[at].inode = inode;
    table[at].value = value;
    table[at].check = check_of(inode, value, now);
}

/* -- places ---------------------------------------------------------------------------------------------------------- */

static struct place *slot_of(struct clerk *clerk, u64 inode) { return &clerk->places[(inode ^ inode >> 31) % PLACES]; }

static void remember_place(struct clerk *clerk, const struct place *place)
{
    struct place *slot = slot_of(clerk, place->inode);
    *slot = *place;
    slot->entry.name = NULL; /* it lies in the snapshot */
}

/* The entry of a living version that an inode denotes. */
static int find_place(struct clerk *clerk, u64 inode, struct place *place)
{
    struct version version;
    u64 index = inode & INDEX_MASK, directory, now = clerk->snapshot.epoch;
    if (inode >> 62 != ENTRY_CLASS)
        return UNUSUAL;
    const struct place *slot = slot_of(clerk, inode);
    if (slot->inode == inode && slot->epoch == now) {
        *place = *slot;
        return OK;
    }
    if (!find_version(inode >> INDEX_BITS & INDEX_MASK, now, &version))
        return UNUSUAL;
    *place = (struct place){inode, now, version.parent, version.created_ns, version.root};
    if (index) {
        if (find_index(&clerk->snapshot, &version.root, index, &place->entry, &directory))
            return UNUSUAL;
        place->parent = inode - index + directory;
    }
    if (kind_of(&place->entry) == KIND_DIRECTORY)
        remember_place(clerk, place);
    return OK;
}

/* -- packing --------------------------------------------------------------------------------------------------------- */

static void split(i64 ns, u64 *seconds, u32 *rest)
{
    i64 whole = ns / BILLION - (ns % BILLION < 0);
    *seconds = (u64)whole;
    *rest = (u32)(ns - whole * BILLION);
}

static void pack_attributes(struct fuse_attr *attr, u64 inode, const struct entry *entry, i64 created_ns)
{
    u64 size = kind_of(entry) == KIND_DIRECTORY ? 0 : entry->size;
    *attr = (struct fuse_attr){.ino = inode, .size = size, .blocks = (size >> 9) + !!(size & 511)};
    split(entry->mtime_ns, &attr->mtime, &attr->mtimensec);
    split(created_ns, &attr->ctime, &attr->ctimensec);
    attr->atime = attr->mtime;
    attr->atimensec = attr->mtimensec;
    attr->mode = plan.modes[entry->kind];
    attr->nlink = 1;
    attr->uid = plan.uid;
    attr->gid = plan.gid;
    attr->blksize = 4096;
}

static void pack_entry(struct fuse_entry_out *out, u64 inode, const struct entry *entry, i64 created_ns)
{
    *out = (struct fuse_entry_out){.nodeid = inode, .entry_valid = FOREVER, .attr_valid = FOREVER};
    pack_attributes(&out->attr, inode, entry, created_ns);
}

static int body(struct clerk *clerk, const void *data, size_t length)
{
    clerk->answer.count = length ? 1 : 0;
    clerk->answer.length = length;
    clerk->answer.parts[1] = (struct iovec){(void *)data, length};
    return ANSWERED;
}

static int failure(struct clerk *clerk, int number)
{
    clerk->answer.header.error = -number;
    return body(clerk, NULL, 0);
}

/* -- requests -------------------------------------------------------------------------------------------------------- */

static int look_up(struct clerk *clerk, u64 parent, const u8 *name, size_t length)
{
    static _Thread_local struct fuse_entry_out out;
    struct place place, found;
    struct tree tree;
    u64 before;
    if (length < 2 || length > LONGEST_NAME + 1 || memchr(name, 0, length) != name + length - 1)
        return UNUSUAL;
    if (find_place(clerk, parent, &place) || open_directory(&clerk->snapshot, &place.entry, &tree))
        return UNUSUAL;
    int outcome = find_name(&clerk->snapshot, tree, name, length - 1, &found.entry, &before);
    if (outcome == UNUSUAL)
        return UNUSUAL;
#ifdef ARTFS_LANE_DEADLY /* for tests: a name that kills this process */
    if (!strcmp((const char *)name, ARTFS_LANE_DEADLY))
        abort();
#endif
    count(COUNT_LOOKUPS, 1);
    if (outcome == ABSENT) {
        out = (struct fuse_entry_out){.entry_valid = FOREVER};
        return body(clerk, &out, sizeof out);
    }
    found.inode = parent + 1 + before;
    if ((found.inode ^ parent) >> INDEX_BITS)
        return UNUSUAL;
    found.epoch = place.epoch;
    found.parent = parent;
    found.created_ns = place.created_ns;
    unsigned kind = kind_of(&found.entry);
    if (kind == KIND_DIRECTORY)
        remember_place(clerk, &found);
    else if (kind == KIND_FILE || kind == KIND_EXECUTABLE)
        remember_content(found.inode, &found.entry, place.epoch);
    pack_entry(&out, found.inode, &found.entry, place.created_ns);
    return body(clerk, &out, sizeof out);
}

static int get_attributes(struct clerk *clerk, u64 inode)
{
    static _Thread_local struct fuse_attr_out out;
    struct place place;
    if (find_place(clerk, inode, &place))
        return UNUSUAL;
    out = (struct fuse_attr_out){.attr_valid = FOREVER};
    pack_attributes(&out.attr, inode, &place.entry, place.created_ns);
    return body(clerk, &out, sizeof out);
}

static int read_file(struct clerk *clerk, u64 inode, u64 offset, u64 size)
{
    struct place place;
    u64 now = clerk->snapshot.epoch, known = inode >> 62 == ENTRY_CLASS ? known_content(inode, now) : 0;
    if (!known) {
        if (find_place(clerk, inode, &place))
            return UNUSUAL;
        unsigned kind = kind_of(&place.entry);
        if (kind != KIND_FILE && kind != KIND_EXECUTABLE)
            return UNUSUAL;
        remember_content(inode, &place.entry, now);
        known = place.entry.node << 3;
    }
    if (size > LARGEST_ANSWER)
        size = LARGEST_ANSWER;
    if (read_content(&clerk->snapshot, known >> 3, offset, size, &clerk->answer))
        return UNUSUAL;
    count(COUNT_READS, 1);
    count(COUNT_BYTES, clerk->answer.length);
    return ANSWERED;
}

struct listing {
    u8 *data;
    size_t length, limit;
    u64 inode, cookie;
    i64 created_ns;
    bool with_attributes;
};

static size_t padded(size_t length) { return (length + 7) & ~(size_t)7; }

/* Adds one entry if there is room for it. */
static bool list(struct listing *listing, const u8 *name, size_t length, u64 inode, u32 type, const struct fuse_entry_out *out)
{
    struct fuse_dirent entry = {inode, listing->cookie + 1, (u32)length, type};
    size_t head = (out ? sizeof *out : 0) + FUSE_NAME_OFFSET, whole = head + padded(length);
    if (listing->length + whole > listing->limit)
        return false;
    u8 *at = listing->data + listing->length;
    if (out)
        memcpy(at, out, sizeof *out);
    memcpy(at + head - FUSE_NAME_OFFSET, &entry, FUSE_NAME_OFFSET);
    memcpy(at + head, name, length);
    memset(at + head + length, 0, padded(length) - length);
    listing->length += whole;
    listing->cookie++;
    return true;
}

static bool list_dot(struct listing *listing, const char *name, u64 inode)
{
    struct fuse_entry_out out = {.nodeid = inode};
    out.attr = (struct fuse_attr){
        .ino = inode, .mode = 040555, .nlink = 1, .uid = plan.uid, .gid = plan.gid, .blksize = 4096};
    return list(listing, (const u8 *)name, strlen(name), inode, 040555 >> 12, listing->with_attributes ? &out : NULL);
}

static bool list_entry(void *context, const struct entry *entry, u64 before)
{
    struct listing *listing = context;
    struct fuse_entry_out out;
    u64 inode = listing->inode + 1 + before;
    u32 type = plan.modes[entry->kind] >> 12;
    if (listing->with_attributes)
        pack_entry(&out, inode, entry, listing->created_ns);
    return list(listing, entry->name, entry->name_length, inode, type, listing->with_attributes ? &out : NULL);
}

static int list_directory(struct clerk *clerk, u64 inode, u64 cookie, u32 size, bool with_attributes)
{
    struct place place;
    struct tree tree;
    if (find_place(clerk, inode, &place) || open_directory(&clerk->snapshot, &place.entry, &tree))
        return UNUSUAL;
    if (!clerk->listing && !(clerk->listing = malloc(LARGEST_ANSWER)))
        return UNUSUAL;
    struct listing listing = {clerk->listing, 0, size < LARGEST_ANSWER ? size : LARGEST_ANSWER, inode, cookie,
                              place.created_ns, with_attributes};
    bool more = true;
    if (cookie < 1)
        more = list_dot(&listing, ".", inode);
    if (more && cookie < 2) {
        listing.cookie = 1;
        more = list_dot(&listing, "..", place.parent);
    }
    u64 position = cookie > 2 ? cookie - 2 : 0;
    listing.cookie = position + 2;
    if (more && each_entry(&clerk->snapshot, &tree, position, list_entry, &listing))
        return UNUSUAL;
    return body(clerk, clerk->listing, listing.length);
}

static int get_xattr(struct clerk *clerk, const u8 *name, size_t length)
{
    if (length < 2 || memchr(name, 0, length) != name + length - 1)
        return UNUSUAL;
    if (length > sizeof xattr_prefix - 1 && !memcmp(name, xattr_prefix, sizeof xattr_prefix - 1))
        return UNUSUAL;
    return failure(clerk, ENODATA);
}

static int list_xattrs(struct clerk *clerk, u32 size)
{
    static const struct fuse_getxattr_out none;
    return size ? body(clerk, NULL, 0) : body(clerk, &none, sizeof none);
}

/* Requests without an answer. */
bool is_silent(u32 opcode)
{
    return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT || opcode == FUSE_NOTIFY_REPLY;
}

int answer_request(struct clerk *clerk, const u8 *request, size_t length)
{
    struct fuse_in_header header;
    if (length < sizeof header)
        return SILENT;
    memcpy(&header, request, sizeof header);
    const u8 *rest = request + sizeof header;
    size_t left = length - sizeof header;
    clerk->answer.header = (struct fuse_out_header){.unique = header.unique};
    if (is_silent(header.opcode))
        return SILENT;
    if (header.len != length)
        return UNUSUAL;
    switch (header.opcode) {
    case FUSE_IOCTL:
        return failure(clerk, ENOSYS);
    case FUSE_LOOKUP:
        return look_up(clerk, header.nodeid, rest, left);
    case FUSE_GETATTR:
        return get_attributes(clerk, header.nodeid);
    case FUSE_READ:
        return left < 20 ? UNUSUAL : read_file(clerk, header.nodeid, get64(rest + 8), get32(rest + 16));
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
        return left < 20 ? UNUSUAL
                         : list_directory(clerk, header.nodeid, get64(rest + 8), get32(rest + 16),
                                          header.opcode == FUSE_READDIRPLUS);
    case FUSE_GETXATTR:
        return left < 8 ? UNUSUAL : get_xattr(clerk, rest + 8, left - 8);
    case FUSE_LISTXATTR:
        return left < 8 ? UNUSUAL : list_xattrs(clerk, get32(rest));
    }
    return UNUSUAL;
}
