#include "lane.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* The table of nodes, whose rows are sealed: see docs/format.md, "LMDB", and store/artstore/records/seal.py. */
enum { TABLE_NODES = 2, SEAL = 4, MOST_TABLES = 64, MOST_PACKS = 128 };

static MDB_env *environment;
static MDB_dbi nodes;
static struct pack packs[MOST_PACKS];
static pthread_mutex_t packs_lock = PTHREAD_MUTEX_INITIALIZER;
static u64 packs_clock;

u64 checksum(const void *data, size_t length, u64 seed) { return XXH3_64bits_withSeed(data, length, seed); }

/* Removes the private folder, in which there are only links. */
static void remove_folder(void)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    char path[sizeof plan.folder + 16];
    struct stat status;
    for (int each = 0; each < 2; each++) {
        snprintf(path, sizeof path, "%s/%s", plan.folder, names[each]);
        if (!lstat(path, &status) && S_ISLNK(status.st_mode))
            unlink(path);
    }
    rmdir(plan.folder);
}

/* Opens LMDB's files through the private folder of links that store/artstore/storage/lmdb_files.py has made. */
int open_store(void)
{
    MDB_txn *transaction;
    int error = mdb_env_create(&environment);
    if (!error)
        error = mdb_env_set_mapsize(environment, plan.map_size);
    if (!error)
        error = mdb_env_set_maxdbs(environment, MOST_TABLES);
    if (!error)
        error = mdb_env_open(environment, plan.folder, MDB_RDONLY | MDB_NOTLS, 0600);
    remove_folder();
    if (!error)
        error = mdb_txn_begin(environment, NULL, MDB_RDONLY, &transaction);
    if (error)
        return error;
    error = mdb_dbi_open(transaction, "nodes", 0, &nodes);
    if (error)
        mdb_txn_abort(transaction);
    else
        error = mdb_txn_commit(transaction);
    return error;
}

static bool is_current(void)
{
    struct stat status;
    return !fstatat(plan.workspace, "current", &status, AT_SYMLINK_NOFOLLOW) && (i64)status.st_ino == plan.current_inode &&
           status.st_mtim.tv_sec * 1000000000LL + status.st_mtim.tv_nsec == plan.current_mtime_ns;
}

bool begin(struct snapshot *snapshot)
{
    snapshot->epoch = epoch();
    int error = snapshot->transaction ? mdb_txn_renew(snapshot->transaction)
                                      : mdb_txn_begin(environment, NULL, MDB_RDONLY, &snapshot->transaction);
    if (error == MDB_READERS_FULL) {
        snapshot->transaction = NULL;
        return true; /* not open: every look-up is unusual, and Python says why */
    }
    if (error)
        leave(EXIT_FAILED, mdb_strerror(error));
    snapshot->is_open = true;
    return is_current();
}

void end(struct snapshot *snapshot)
{
    if (snapshot->is_open)
        mdb_txn_reset(snapshot->transaction);
    snapshot->is_open = false;
}

int node_record(struct snapshot *snapshot, u64 node, const u8 **data, size_t *length)
{
    u64 big = htobe64(node);
    MDB_val key = {sizeof big, &big}, value;
    if (!snapshot->is_open || mdb_get(snapshot->transaction, nodes, &key, &value) || value.mv_size <= SEAL)
        return UNUSUAL;
    *data = value.mv_data;
    *length = value.mv_size - SEAL;
    if ((u32)checksum(*data, *length, (u64)TABLE_NODES << 56 ^ node) != get32(*data + *length))
        return UNUSUAL;
    return OK;
}

/* Reads the pages with the rows of nodes first to last, which are neighbours. */
int scan_nodes(struct snapshot *snapshot, u64 first, u64 last)
{
    MDB_cursor *cursor;
    u64 big = htobe64(first);
    MDB_val key = {sizeof big, &big}, value;
    if (!snapshot->is_open || mdb_cursor_open(snapshot->transaction, nodes, &cursor))
        return UNUSUAL;
    volatile u8 sum = 0;
    int error = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!error && key.mv_size == 8 && be64toh(get64(key.mv_data)) <= last) {
        sum += *(const u8 *)value.mv_data;
        error = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return OK;
}

/* A pack is a regular file of the workspace's owner or group, with one link: see store/artstore/beneath.py. */
static int open_pack(u32 number)
{
    char name[32];
    struct stat status;
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    snprintf(name, sizeof name, "%08u.pack", number);
    int descriptor = syscall(SYS_openat2, plan.packs, name, &how, sizeof how);
    if (descriptor < 0)
        return -1;
    bool is_ours = !fstat(descriptor, &status) && S_ISREG(status.st_mode) && status.st_nlink <= 1;
    if (plan.group != NONE)
        is_ours = is_ours && status.st_gid == plan.group;
    else
        is_ours = is_ours && (status.st_uid == plan.owner || !status.st_uid);
    if (!is_ours) {
        close(descriptor);
        return -1;
    }
    return descriptor;
}

/* Returns an open pack, which stays open until it is released; NULL if it cannot be opened or too many are in use. */
struct pack *hold_pack(u32 number)
{
    struct pack *free = NULL, *found = NULL;
    pthread_mutex_lock(&packs_lock);
    for (int each = 0; each < MOST_PACKS && !found; each++) {
        struct pack *pack = packs + each;
        if (pack->number == number && pack->used)
            found = pack;
        else if (!pack->users && (!free || pack->used < free->used))
            free = pack;
    }
    if (!found && free) {
        int descriptor = open_pack(number);
        if (descriptor >= 0) {
            if (free->used)
                close(free->descriptor);
            *free = (struct pack){descriptor, number, 0, 0};
            found = free;
        }
    }
    if (found) {
        found->users++;
        found->used = ++packs_clock;
    }
    pthread_mutex_unlock(&packs_lock);
    return found;
}

void release_pack(struct pack *pack)
{
    pthread_mutex_lock(&packs_lock);
    pack->users--;
    pthread_mutex_unlock(&packs_lock);
}

/* A removed pack that stays open keeps its blocks. */
void close_removed_packs(void)
{
    struct stat status;
    pthread_mutex_lock(&packs_lock);
    for (int each = 0; each < MOST_PACKS; each++)
        if (packs[each].used && !packs[each].users && (fstat(packs[each].descriptor, &status) || !status.st_nlink)) {
            close(packs[each].descriptor);
            packs[each].used = 0;
        }
    pthread_mutex_unlock(&packs_lock);
}
