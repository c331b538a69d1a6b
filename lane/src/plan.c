#include "lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct plan plan;

enum { SUSPECTS = 64, DEATHS = 2 };

struct hazards {
    _Atomic u64 current[MOST_THREADS];
    struct {
        u64 key, deaths;
    } suspects[SUSPECTS];
};

static _Atomic u64 *counters;
static struct hazards *hazards;
static bool has_suspects;

_Noreturn void leave(int code, const char *reason)
{
    if (reason)
        dprintf(STDERR_FILENO, "%d fast lane: %s\n", (int)getpid(), reason);
    _exit(code);
}

static void *map(int descriptor, size_t least)
{
    struct stat status;
    if (fstat(descriptor, &status) || (size_t)status.st_size < least)
        return NULL;
    void *memory = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Requests that were being answered when an earlier process died: two deaths make one unusual. */
static void note_deaths(void)
{
    for (int thread = 0; thread < MOST_THREADS; thread++) {
        u64 key = atomic_exchange(&hazards->current[thread], 0);
        int chosen = 0;
        if (!key)
            continue;
        for (int each = 0; each < SUSPECTS; each++) {
            if (hazards->suspects[each].key == key) {
                chosen = each;
                break;
            }
            if (hazards->suspects[each].deaths < hazards->suspects[chosen].deaths)
                chosen = each;
        }
        if (hazards->suspects[chosen].key != key)
            hazards->suspects[chosen].deaths = 0;
        hazards->suspects[chosen].key = key;
        hazards->suspects[chosen].deaths++;
    }
    for (int each = 0; each < SUSPECTS; each++)
        has_suspects |= hazards->suspects[each].deaths >= DEATHS;
}

bool load_plan(int descriptor)
{
    if (pread(descriptor, &plan, sizeof plan, 0) != sizeof plan || plan.magic != PLAN_MAGIC || plan.length != sizeof plan)
        return false;
    if (!plan.devices || plan.devices > MOST_THREADS || !plan.workers || plan.workers > MOST_WORKERS)
        return false;
    plan.folder[sizeof plan.folder - 1] = 0;
    close(descriptor);
    counters = map(plan.counters, plan.epoch_at + 8);
    hazards = map(plan.hazards, sizeof *hazards);
    if (!counters || !hazards)
        return false;
    note_deaths();
    return true;
}

/* The epoch follows the counts: those of an older Python core have room for fewer. */
void count(int field, u64 amount)
{
    if (plan.counts_at + 8 * ((u32)field + 1) > plan.epoch_at)
        return;
    atomic_fetch_add_explicit(counters + plan.counts_at / 8 + field, amount, memory_order_relaxed);
}

u64 epoch(void) { return atomic_load(counters + plan.epoch_at / 8); }

void begin_hazard(unsigned thread, u64 key) { atomic_store_explicit(&hazards->current[thread], key, memory_order_relaxed); }

void end_hazard(unsigned thread) { atomic_store_explicit(&hazards->current[thread], 0, memory_order_relaxed); }

bool is_hazard(u64 key)
{
    if (has_suspects)
        for (int each = 0; each < SUSPECTS; each++)
            if (hazards->suspects[each].key == key && hazards->suspects[each].deaths >= DEATHS)
                return true;
    return false;
}
