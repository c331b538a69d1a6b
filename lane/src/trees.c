#include "lane.h"

/* Directory records: see docs/format.md, "LMDB", and store/artstore/records/trees.py, which does the same. */
enum {
    KIND_TREE = 3,
    TREE_VERSION = 2,
    LEVEL_AT = 66,
    COUNT_AT = 67,
    ENTRIES_AT = 69,
    FILES_AT = 73,
    DIRECTORIES_AT = 81,
    STORED_AT = 110,
    HEAD = 114,
    ROW = 32,
    SIZE_IN_ROW = 8,
    MTIME_IN_ROW = 16,
    BEFORE_IN_ROW = 24,
    MODE_IN_ROW = 28,
    NAME_IN_ROW = 30,
    ENTRIES_IN_INDEX_ROW = 8,
    ENTRIES_BEFORE_IN_INDEX_ROW = 12,
    INODES_IN_INDEX_ROW = 16,
    INODES_BEFORE_IN_INDEX_ROW = 20,
    UNUSED_IN_INDEX_ROW = 24,
};
#define MOST_INODES ((1ULL << 31) - 1)

struct child {
    u64 node;
    u32 entries, entries_before, inodes, inodes_before;
};

static const u8 *row(const struct tree *tree, u32 index) { return tree->data + HEAD + (size_t)index * ROW; }

int open_tree(struct snapshot *snapshot, u64 node, struct tree *tree)
{
    if (node_record(snapshot, node, &tree->data, &tree->length) || tree->length < HEAD)
        return UNUSUAL;
    const u8 *data = tree->data;
    tree->level = data[LEVEL_AT];
    tree->count = get16(data + COUNT_AT);
    tree->entries = get32(data + ENTRIES_AT);
    u64 files = get64(data + FILES_AT);
    tree->inodes = files + get32(data + DIRECTORIES_AT);
    tree->names = HEAD + (size_t)tree->count * ROW;
    if (data[0] != KIND_TREE || data[1] != TREE_VERSION || tree->count > FANOUT || tree->names > tree->length)
        return UNUSUAL;
    if (files > MOST_INODES || tree->inodes > MOST_INODES || get32(data + STORED_AT) > LARGEST_CHUNK)
        return UNUSUAL;
    if (tree->count ? get16(row(tree, 0) + NAME_IN_ROW) != 0 : tree->names != tree->length)
        return UNUSUAL;
    if (tree->level ? !tree->count : tree->count != tree->entries)
        return UNUSUAL;
    return OK;
}

/* The record of a directory, which holds as many entries as the one above says: no two entries share an inode. */
int open_directory(struct snapshot *snapshot, const struct entry *entry, struct tree *tree)
{
    if (kind_of(entry) != KIND_DIRECTORY || open_tree(snapshot, entry->node, tree))
        return UNUSUAL;
    return !entry->inodes || entry->inodes == tree->inodes + 1 ? OK : UNUSUAL;
}

static int name_of(const struct tree *tree, u32 index, const u8 **name, size_t *length)
{
    size_t start = tree->names + get16(row(tree, index) + NAME_IN_ROW);
    size_t stop = index + 1 < tree->count ? tree->names + get16(row(tree, index + 1) + NAME_IN_ROW) : tree->length;
    if (start >= stop || stop > tree->length || stop - start > LONGEST_NAME)
        return UNUSUAL;
    *name = tree->data + start;
    *length = stop - start;
    return OK;
}

int tree_entry(const struct tree *tree, u32 index, struct entry *entry)
{
    const u8 *at = row(tree, index);
    entry->node = get64(at);
    entry->size = get64(at + SIZE_IN_ROW);
    entry->mtime_ns = (i64)get64(at + MTIME_IN_ROW);
    entry->before = get32(at + BEFORE_IN_ROW);
    entry->kind = get16(at + MODE_IN_ROW);
    u64 after = index + 1 < tree->count ? get32(row(tree, index + 1) + BEFORE_IN_ROW) : tree->inodes;
    if (after <= entry->before || kind_of(entry) > KIND_REFERENCE)
        return UNUSUAL;
    entry->inodes = after - entry->before;
    if (entry->inodes > 1 && kind_of(entry) != KIND_DIRECTORY)
        return UNUSUAL;
    return name_of(tree, index, &entry->name, &entry->name_length);
}

static int child_of(const struct tree *tree, u32 index, struct child *child)
{
    const u8 *at = row(tree, index), *name;
    size_t length;
    child->node = get64(at);
    child->entries = get32(at + ENTRIES_IN_INDEX_ROW);
    child->entries_before = get32(at + ENTRIES_BEFORE_IN_INDEX_ROW);
    child->inodes = get32(at + INODES_IN_INDEX_ROW);
    child->inodes_before = get32(at + INODES_BEFORE_IN_INDEX_ROW);
    if (get32(at + UNUSED_IN_INDEX_ROW) || get16(at + UNUSED_IN_INDEX_ROW + 4))
        return UNUSUAL;
    if (!child->entries || (u64)child->entries + child->entries_before > tree->entries)
        return UNUSUAL;
    if (!child->inodes || (u64)child->inodes + child->inodes_before > tree->inodes)
        return UNUSUAL;
    return name_of(tree, index, &name, &length);
}

static int record_below(struct snapshot *snapshot, const struct tree *above, const struct child *child, struct tree *below)
{
    u32 level = above->level;
    if (open_tree(snapshot, child->node, below))
        return UNUSUAL;
    return below->level + 1 == level && below->entries == child->entries && below->inodes == child->inodes ? OK : UNUSUAL;
}

/* The first row whose name is not below `name`, or the count. */
static int first_not_below(const struct tree *tree, const u8 *name, size_t length, u32 *index)
{
    u32 low = 0, high = tree->count;
    while (low < high) {
        u32 middle = (low + high) / 2;
        const u8 *other;
        size_t other_length;
        if (name_of(tree, middle, &other, &other_length))
            return UNUSUAL;
        int order = memcmp(other, name, length < other_length ? length : other_length);
        if (order < 0 || (!order && other_length < length))
            low = middle + 1;
        else
            high = middle;
    }
    *index = low;
    return OK;
}

int find_name(struct snapshot *snapshot, struct tree tree, const u8 *name, size_t length, struct entry *entry, u64 *before)
{
    u32 index;
    *before = 0;
    while (tree.level) {
        struct child child;
        struct tree below;
        if (first_not_below(&tree, name, length, &index))
            return UNUSUAL;
        if (index == tree.count)
            return ABSENT;
        if (child_of(&tree, index, &child) || record_below(snapshot, &tree, &child, &below))
            return UNUSUAL;
        *before += child.inodes_before;
        tree = below;
    }
    if (first_not_below(&tree, name, length, &index))
        return UNUSUAL;
    if (index == tree.count)
        return ABSENT;
    if (tree_entry(&tree, index, entry))
        return UNUSUAL;
    if (entry->name_length != length || memcmp(entry->name, name, length))
        return ABSENT;
    *before += entry->before;
    return OK;
}

/* The last row whose running total in `field` is at most `value`. */
static int last_at_or_before(const struct tree *tree, u64 value, int field, u32 *index)
{
    u32 low = 0, high = tree->count - 1;
    if (!tree->count || get32(row(tree, 0) + field))
        return UNUSUAL;
    while (low < high) {
        u32 middle = (low + high + 1) / 2;
        if (get32(row(tree, middle) + field) <= value)
            low = middle;
        else
            high = middle - 1;
    }
    *index = low;
    return OK;
}

static int row_for_inode(const struct tree *tree, u64 inode, u32 *index)
{
    if (inode >= tree->inodes)
        return ABSENT;
    if (tree->count == tree->inodes) {
        *index = (u32)inode;
        return OK;
    }
    return last_at_or_before(tree, inode, tree->level ? INODES_BEFORE_IN_INDEX_ROW : BEFORE_IN_ROW, index);
}

int find_index(struct snapshot *snapshot, const struct entry *root, u64 index, struct entry *entry, u64 *directory)
{
    struct tree tree;
    u64 current = 0;
    *entry = *root;
    while (true) {
        u32 at;
        int found;
        if (open_directory(snapshot, entry, &tree))
            return UNUSUAL;
        u64 left = index - current - 1;
        while (tree.level) {
            struct child child;
            struct tree below;
            found = row_for_inode(&tree, left, &at);
            if (found)
                return found;
            if (child_of(&tree, at, &child) || child.inodes_before > left || record_below(snapshot, &tree, &child, &below))
                return UNUSUAL;
            left -= child.inodes_before;
            tree = below;
        }
        found = row_for_inode(&tree, left, &at);
        if (found)
            return found;
        if (tree_entry(&tree, at, entry) || entry->before > left)
            return UNUSUAL;
        left -= entry->before;
        if (!left) {
            *directory = current;
            return OK;
        }
        if (kind_of(entry) != KIND_DIRECTORY)
            return UNUSUAL;
        current = index - left;
    }
}

static int entries_below(
    struct snapshot *snapshot, const struct tree *tree, u64 position, u64 before, take_entry *take, void *context, bool *more)
{
    if (!tree->level) {
        for (u64 index = position; index < tree->count && *more; index++) {
            struct entry entry;
            if (tree_entry(tree, (u32)index, &entry))
                return UNUSUAL;
            *more = take(context, &entry, before + entry.before);
        }
        return OK;
    }
    u32 first;
    struct child child;
    if (position >= tree->entries)
        return OK;
    if (last_at_or_before(tree, position, ENTRIES_BEFORE_IN_INDEX_ROW, &first) || child_of(tree, first, &child))
        return UNUSUAL;
    u64 expected = child.entries_before;
    for (u32 index = first; index < tree->count && *more; index++) {
        struct tree below;
        if (child_of(tree, index, &child) || child.entries_before != expected)
            return UNUSUAL;
        if (record_below(snapshot, tree, &child, &below))
            return UNUSUAL;
        expected += child.entries;
        u64 start = position > child.entries_before ? position - child.entries_before : 0;
        if (entries_below(snapshot, &below, start, before + child.inodes_before, take, context, more))
            return UNUSUAL;
    }
    return OK;
}

int each_entry(struct snapshot *snapshot, const struct tree *tree, u64 position, take_entry *take, void *context)
{
    bool more = true;
    return entries_below(snapshot, tree, position, 0, take, context, &more);
}
