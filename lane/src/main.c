#include "lane.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Threads that take requests, each from a clone of the device.
 *
 * One waits at the device, as long as one is enough: see fs/artfs/mount/duty.py.  It goes off duty before it waits for
 * the disk, or when requests are often waiting as it returns for the next one: a read of the device that takes less than
 * some microseconds has found one.
 */
enum { WAITED = 2, NOT_WAITED = -1, MOST = 32, CROWDED = 4, AT_ONCE_NS = 4000, DUTY_SECONDS = 1, WAKE_NS = 5000000 };

_Thread_local struct clerk *this_clerk;
static pthread_mutex_t duty = PTHREAD_MUTEX_INITIALIZER;
static struct clerk *clerks;
static _Atomic u32 at_work;
static _Atomic bool is_closing;

void off_duty(struct clerk *clerk)
{
    if (clerk && clerk->on_duty) {
        clerk->on_duty = false;
        pthread_mutex_unlock(&duty);
    }
}

/* The environment was replaced by a compacted copy: answer what was taken, and let the daemon start this program again.
 * A signal interrupts those that wait at the device; it is repeated, because it may come right before they wait. */
static void close_lane(struct clerk *clerk)
{
    struct timespec pause = {0, WAKE_NS};
    off_duty(clerk);
    if (atomic_exchange(&is_closing, true))
        return;
    while (at_work > 1) {
        for (u32 each = 0; each < plan.devices; each++)
            if (clerks + each != clerk)
                pthread_kill(clerks[each].thread, SIGUSR1);
        nanosleep(&pause, NULL);
    }
    drain_desk();
    leave(EXIT_REPLACED, NULL);
}

static void park(struct clerk *clerk)
{
    off_duty(clerk);
    atomic_fetch_sub(&at_work, 1);
    while (true)
        pause();
}

/* Goes on duty; but not behind a thread that is stuck. */
static void on_duty(struct clerk *clerk)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DUTY_SECONDS;
    clerk->on_duty = !pthread_mutex_timedlock(&duty, &until);
}

/* Waits for a request and reads it; returns its length, or a negative errno. */
static ssize_t take(struct clerk *clerk, u8 *request)
{
    if (clerk->score > CROWDED)
        off_duty(clerk);
    else if (!clerk->on_duty)
        on_duty(clerk);
    if (is_closing)
        park(clerk);
    u64 began = now_ns();
    ssize_t length = read(clerk->device, request, LONGEST_REQUEST);
    if (length < 0)
        return -errno;
    int score = clerk->score + (now_ns() - began < AT_ONCE_NS ? WAITED : NOT_WAITED);
    clerk->score = score < 0 ? 0 : score > MOST ? MOST : score;
    return length;
}

static u64 key_of(const u8 *request, size_t length)
{
    struct fuse_in_header header;
    memcpy(&header, request, sizeof header);
    u64 key = checksum(request + sizeof header, length - sizeof header, header.nodeid ^ (u64)header.opcode << 56);
    return key ? key : 1;
}

static void serve_one(struct clerk *clerk, const u8 *request, size_t length)
{
    int outcome = UNUSUAL;
    bool is_replaced = false;
    u64 key = length >= sizeof(struct fuse_in_header) ? key_of(request, length) : 1;
    if (!is_hazard(key)) {
        begin_hazard(clerk->number, key);
        is_replaced = !begin(&clerk->snapshot);
        if (!is_replaced)
            outcome = answer_request(clerk, request, length);
    }
    if (outcome == ANSWERED) {
        struct answer *answer = &clerk->answer;
        answer->header.len = sizeof answer->header + answer->length;
        answer->parts[0] = (struct iovec){&answer->header, sizeof answer->header};
        /* The snapshot ends after the answer is written: until then nothing that it refers to is freed. */
        if (writev(clerk->device, answer->parts, answer->count + 1) < 0 && errno == ENODEV)
            leave(EXIT_ENDED, NULL);
    }
    end(&clerk->snapshot);
    end_hazard(clerk->number);
    if (outcome == UNUSUAL)
        hand_over(clerk->device, request, length);
    else
        count(COUNT_REQUESTS, 1);
    if (is_replaced)
        close_lane(clerk);
}

static void *serve(void *given)
{
    struct clerk *clerk = this_clerk = given;
    u8 request[LONGEST_REQUEST] __attribute__((aligned(8)));
    while (true) {
        ssize_t length = take(clerk, request);
        if (!length || length == -ENODEV || length == -ECONNABORTED)
            leave(EXIT_ENDED, NULL);
        if (length == -EINTR || length == -ENOENT || length == -EAGAIN)
            continue;
        if (length < 0)
            leave(EXIT_FAILED, strerror(-(int)length));
        note_request();
        serve_one(clerk, request, length);
    }
    return NULL;
}

static void ignore(int number) { (void)number; }

int main(int count, char **arguments)
{
    if (count != 2 || !load_plan(atoi(arguments[1])))
        leave(EXIT_UNSUITED, "artfs and artfs-lane are of different releases");
    int error = open_store();
    if (error == MDB_VERSION_MISMATCH || error == MDB_INVALID)
        leave(EXIT_UNSUITED, "its LMDB and Python's have different formats");
    if (error)
        leave(EXIT_FAILED, mdb_strerror(error));
    open_content();
    open_ahead();
    open_desk();
    struct sigaction interrupt = {.sa_handler = ignore};
    clerks = calloc(plan.devices, sizeof *clerks);
    if (!clerks || sigaction(SIGUSR1, &interrupt, NULL))
        leave(EXIT_FAILED, "memory is lacking");
    at_work = plan.devices;
    for (u32 each = 0; each < plan.devices; each++) {
        struct clerk *clerk = clerks + each;
        clerk->number = each;
        clerk->device = plan.device[each];
        clerk->answer.room = malloc(ROOM);
        if (!clerk->answer.room || pthread_create(&clerk->thread, NULL, serve, clerk))
            leave(EXIT_FAILED, "a thread could not be started");
    }
    run_desk(NULL);
}
