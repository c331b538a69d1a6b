/* The fast lane of a mount: what its files share.
 *
 * plan.c     what the daemon passes at the start, and the memory shared with it
 * store.c    snapshots of LMDB, records, packs
 * trees.c    directory records: by name, by position, by preorder index
 * content.c  bytes of files: verified, decompressed
 * ahead.c    read-ahead, and processors kept awake
 * answers.c  the requests that are answered here
 * desk.c     the requests that are handed over to the Python workers
 * main.c     threads that take requests
 *
 * Whatever is unusual is UNUSUAL: the request is handed over unanswered, and Python decides.  Bytes from the disk and
 * from the kernel are checked before they are believed: every length, offset, count and sum.
 */
#ifndef ARTFS_LANE_H
#define ARTFS_LANE_H

#define _GNU_SOURCE
#include <linux/fuse.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64;

enum { OK = 0, ABSENT = 1, UNUSUAL = -1 };

/* Exit codes, which fs/artfs/mount/lane.py knows too. */
enum { EXIT_ENDED = 0, EXIT_FAILED = 1, EXIT_REPLACED = 75, EXIT_UNSUITED = 76 };

enum {
    MOST_THREADS = 64,
    MOST_WORKERS = 64,
    LONGEST_REQUEST = 16384,
    LARGEST_ANSWER = 1 << 20,
    LARGEST_CHUNK = 1 << 20,
    LONGEST_NAME = 255,
    FANOUT = 256,
    MOST_PARTS = 512,
    ROOM = 3 << 20, /* for stored bytes of one read: an answer, and what its first and last blocks hold besides */
};

/* -- plan.c -- */

/* Written by fs/artfs/mount/lane.py, field by field. */
struct plan {
    u32 magic, length;
    i64 current_inode, current_mtime_ns; /* of the file `current`, when the environment was chosen */
    u64 map_size;
    u32 counts_at, epoch_at; /* bytes in the memory of counters */
    int32_t counters, hazards, workspace, packs, control, latency; /* descriptors; latency may be -1 */
    u32 uid, gid;                                                    /* that are shown */
    u32 owner, group; /* to whom packs belong; group is NONE unless the workspace is shared */
    u32 devices, workers;
    int32_t device[MOST_THREADS];
    int32_t worker[MOST_WORKERS]; /* sockets */
    int32_t memory[MOST_WORKERS]; /* for answers of workers */
    char folder[256];             /* through which LMDB opens its files; it is removed then */
    u32 modes[5 * 512];           /* that are shown, by kind << 9 | permission bits */
};

#define PLAN_MAGIC 0x314e414cu
#define NONE UINT32_MAX

extern struct plan plan;

/* The counts of this process, as in fs/artfs/mount/counters.py. */
enum {
    COUNT_REQUESTS = 3,
    COUNT_LOOKUPS = 4,
    COUNT_READS = 5,
    COUNT_BYTES = 6,
    COUNT_CACHE_HITS = 9,
    COUNT_CACHE_MISSES = 10,
};
void count(int field, u64 amount);
u64 epoch(void);

/* What each thread works on, in memory that outlives this process: a request that killed two is left to Python. */
void begin_hazard(unsigned thread, u64 key);
void end_hazard(unsigned thread);
bool is_hazard(u64 key);

bool load_plan(int descriptor);
static inline u64 now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

_Noreturn void leave(int code, const char *reason);

/* -- store.c -- */

struct pack {
    int descriptor;
    u32 number;
    unsigned users;
    u64 used;
};

/* One thread's view of the store. */
struct snapshot {
    MDB_txn *transaction;
    u64 epoch; /* from before the transaction: what was cached in it is valid */
    bool is_open;
};

int open_store(void);
bool begin(struct snapshot *snapshot); /* false: the environment was replaced */
void end(struct snapshot *snapshot);
int node_record(struct snapshot *snapshot, u64 node, const u8 **data, size_t *length);
struct pack *hold_pack(u32 number);
void release_pack(struct pack *pack);
void close_removed_packs(void);
int scan_nodes(struct snapshot *snapshot, u64 first, u64 last);

static inline u16 get16(const u8 *at) { u16 value; memcpy(&value, at, 2); return value; }
static inline u32 get32(const u8 *at) { u32 value; memcpy(&value, at, 4); return value; }
static inline u64 get64(const u8 *at) { u64 value; memcpy(&value, at, 8); return value; }
u64 checksum(const void *data, size_t length, u64 seed);

/* -- trees.c -- */

enum { KIND_FILE = 0, KIND_EXECUTABLE = 1, KIND_LINK = 2, KIND_DIRECTORY = 3, KIND_REFERENCE = 4 };

struct tree {
    const u8 *data;
    size_t length, names;
    u32 level, count, entries;
    u64 inodes;
};

struct entry {
    const u8 *name;
    size_t name_length;
    u64 node, size;
    i64 mtime_ns;
    u32 before; /* inodes before it, in its record or as the function says */
    u64 inodes; /* 0 for the root of a version */
    u16 kind;   /* kind << 9 | permission bits */
};

int open_tree(struct snapshot *snapshot, u64 node, struct tree *tree);
int open_directory(struct snapshot *snapshot, const struct entry *entry, struct tree *tree);
int tree_entry(const struct tree *tree, u32 index, struct entry *entry);
int find_name(struct snapshot *snapshot, struct tree tree, const u8 *name, size_t length, struct entry *entry, u64 *before);
/* The entry with a preorder index of at least 1, and its directory's index; ABSENT if there is none. */
int find_index(struct snapshot *snapshot, const struct entry *root, u64 index, struct entry *entry, u64 *directory);

/* Calls `take` with each entry from a position on, and the inodes of all depths before it, until it returns false. */
typedef bool take_entry(void *context, const struct entry *entry, u64 before);
int each_entry(struct snapshot *snapshot, const struct tree *tree, u64 position, take_entry *take, void *context);

static inline unsigned kind_of(const struct entry *entry) { return entry->kind >> 9; }

/* -- content.c -- */

struct answer {
    struct fuse_out_header header;
    struct iovec parts[MOST_PARTS + 1];
    int count;
    size_t length; /* without the header */
    u8 *room;
};

void open_content(void);
int read_content(struct snapshot *snapshot, u64 node, u64 offset, u64 size, struct answer *answer);

/* -- ahead.c -- */

void open_ahead(void);
void note_request(void);
void touch_region(struct pack *pack, u32 offset);
void bring_in(u64 root);

/* -- desk.c -- */

/* The root of a version, as a worker has described it; valid in one epoch. */
struct version {
    u64 epoch;
    u64 mount;
    u64 parent;
    i64 created_ns;
    struct entry root;
};

void open_desk(void);
void *run_desk(void *nothing);
void hand_over(int device, const u8 *request, size_t length);
bool find_version(u64 mount, u64 now, struct version *version); /* else a worker is asked for it */
void drain_desk(void);

/* -- answers.c -- */

struct place {
    u64 inode, epoch, parent;
    i64 created_ns;
    struct entry entry;
};

enum { PLACES = 1024 };

struct clerk {
    pthread_t thread;
    unsigned number;
    int device;
    struct snapshot snapshot;
    struct answer answer;
    u8 *listing;
    struct place places[PLACES];
    bool on_duty;
    int score;
};

enum { ANSWERED = 0, SILENT = 1 }; /* or UNUSUAL */
bool is_silent(u32 opcode);
int answer_request(struct clerk *clerk, const u8 *request, size_t length);
void off_duty(struct clerk *clerk);
extern _Thread_local struct clerk *this_clerk;

#endif
