#include "lane.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Read-ahead of regions around small files, by the rules of store/artstore/storage/readahead.py.
 *
 * A large file needs none.  All its reads come from this process through one descriptor, so the kernel sees a sequential
 * reader itself, and its own readahead is faster: it allocates large folios, where the pages of POSIX_FADV_WILLNEED are
 * single ones. */
enum {
    REGION = 256 * 1024,
    GROUP = 4,
    REGION_SLOTS = 1 << 16,
    PACK_STRIDE = 1024,
    FRESH = 0,
    TOUCHED = 1,
    ASKED = 2,
    FEW = 64,
    WAITING = 64,
    MOST_RECORDS = 1 << 20,
};

/* -- regions -----------------------------------------------------------------------------------------------------------  */

static _Atomic u8 regions[REGION_SLOTS];
static _Atomic u64 touched, touched_again, asked;
static u64 budget;

static void ask(const struct pack *pack, u64 offset, u64 length) { posix_fadvise(pack->descriptor, offset, length, POSIX_FADV_WILLNEED); }

static void ask_regions(struct pack *pack, u32 region, u32 count)
{
    for (u32 each = region; each < region + count; each++)
        atomic_store_explicit(&regions[(pack->number * PACK_STRIDE + each) % REGION_SLOTS], ASKED, memory_order_relaxed);
    if (atomic_fetch_add(&asked, count) * REGION > budget) {
        for (int each = 0; each < REGION_SLOTS; each++)
            atomic_store_explicit(&regions[each], FRESH, memory_order_relaxed);
        touched = touched_again = asked = 0;
    }
    ask(pack, (u64)region * REGION, (u64)count * REGION);
}

void touch_region(struct pack *pack, u32 offset)
{
    u32 region = offset / REGION;
    _Atomic u8 *slot = &regions[(pack->number * PACK_STRIDE + region) % REGION_SLOTS];
    u8 state = atomic_load_explicit(slot, memory_order_relaxed);
    if (state == ASKED)
        return;
    atomic_fetch_add(state == FRESH ? &touched : &touched_again, 1);
    atomic_store_explicit(slot, state + 1, memory_order_relaxed);
    u64 again = touched_again;
    if (again >= FEW && 2 * again >= touched)
        ask_regions(pack, region - region % GROUP, GROUP);
    else if (state != FRESH)
        ask_regions(pack, region, 1);
}

/* -- a thread for what need not be waited for ------------------------------------------------------------------------ */

static pthread_mutex_t work_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_come = PTHREAD_COND_INITIALIZER;
static u64 roots[WAITING];
static int waiting;

/* Processors are kept awake while requests follow each other closely: see fs/artfs/mount/wakefulness.py. */
enum { NOTE_GROUP = 16, NOTE_GROUP_NS = 16000000, TICK_NS = 10000000, LEAST = 5, PACKS_SECONDS = 5 };
static _Atomic u64 noted;
static _Atomic u64 group_began_ns;
static _Atomic bool is_awake;

static void set_latency(int32_t value)
{
    if (write(plan.latency, &value, sizeof value) < 0)
        plan.latency = -1;
}

void note_request(void)
{
    u64 number = atomic_fetch_add_explicit(&noted, 1, memory_order_relaxed) + 1;
    if (plan.latency < 0 || number % NOTE_GROUP || is_awake)
        return;
    u64 now = now_ns();
    if (now - group_began_ns < NOTE_GROUP_NS && !atomic_exchange(&is_awake, true)) {
        set_latency(0);
        pthread_cond_signal(&work_come);
    }
    group_began_ns = now;
}

/* Brings the records of a version into memory, before they are asked for one by one. */
void bring_in(u64 root)
{
    pthread_mutex_lock(&work_lock);
    if (waiting < WAITING)
        roots[waiting++] = root;
    pthread_cond_signal(&work_come);
    pthread_mutex_unlock(&work_lock);
}

struct walk {
    struct snapshot *snapshot;
    u64 records, first, last;
    u64 *directories;
    size_t count, room;
};

static bool note_entry(void *context, const struct entry *entry, u64 before)
{
    struct walk *walk = context;
    (void)before;
    walk->records++;
    if (kind_of(entry) == KIND_DIRECTORY) {
        if (walk->count == walk->room) {
            u64 *more = realloc(walk->directories, (walk->room = walk->room * 2 + 64) * sizeof *more);
            if (!more)
                return false;
            walk->directories = more;
        }
        walk->directories[walk->count++] = entry->node;
    } else {
        walk->first = entry->node < walk->first ? entry->node : walk->first;
        walk->last = entry->node > walk->last ? entry->node : walk->last;
    }
    return walk->records < MOST_RECORDS;
}

static void walk_version(u64 root)
{
    struct snapshot snapshot = {0};
    struct walk walk = {.snapshot = &snapshot, .first = UINT64_MAX};
    note_entry(&walk, &(struct entry){.node = root, .kind = KIND_DIRECTORY << 9}, 0);
    for (size_t next = 0; next < walk.count && walk.records < MOST_RECORDS; next++) {
        struct tree tree;
        if (!begin(&snapshot))
            break; /* the threads that answer notice it too */
        u64 before = walk.records;
        walk.first = UINT64_MAX;
        walk.last = 0;
        if (!open_tree(&snapshot, walk.directories[next], &tree))
            each_entry(&snapshot, &tree, 0, note_entry, &walk);
        /* Nodes are numbered in tree order, so those of new files are neighbours. */
        if (walk.first <= walk.last && walk.last - walk.first < 4 * (walk.records - before) + 1024)
            scan_nodes(&snapshot, walk.first, walk.last);
        end(&snapshot);
    }
    if (snapshot.transaction)
        mdb_txn_abort(snapshot.transaction);
    free(walk.directories);
}

static void *run_ahead(void *nothing)
{
    (void)nothing;
    u64 counted = 0;
    while (true) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        if (is_awake) {
            until.tv_nsec += TICK_NS;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
        } else
            until.tv_sec += PACKS_SECONDS;
        pthread_mutex_lock(&work_lock);
        int timed_out = waiting ? 0 : pthread_cond_timedwait(&work_come, &work_lock, &until);
        u64 root = waiting ? roots[--waiting] : 0;
        pthread_mutex_unlock(&work_lock);
        if (root)
            walk_version(root);
        else if (timed_out && is_awake) {
            u64 present = noted;
            if (present - counted < LEAST) {
                set_latency(2000000000);
                is_awake = false;
            }
            counted = present;
        } else if (timed_out)
            close_removed_packs();
    }
    return NULL;
}

void open_ahead(void)
{
    pthread_t thread;
    budget = (u64)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 2;
    if (pthread_create(&thread, NULL, run_ahead, NULL))
        leave(EXIT_FAILED, "no thread could be started");
}
