#include "lane.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Threads that take requests, each from a clone of the device.
 *
 * One waits at the device, as long as one is enough: see fs/artfs/mount/duty.py.  It goes off duty before it waits for
 * the disk, or when requests are often waiting as it returns for the next one.
 */
enum { WAITED = 2, NOT_WAITED = -1, MOST = 32, CROWDED = 4 };

_Thread_local struct clerk *this_clerk;
static pthread_mutex_t duty = PTHREAD_MUTEX_INITIALIZER;
static struct clerk *clerks;
static _Atomic u32 at_work;
static _Atomic bool is_closing;
static int closing;

void off_duty(struct clerk *clerk)
{
    if (clerk && clerk->on_duty) {
        clerk->on_duty = false;
        pthread_mutex_unlock(&duty);
    }
}

/* The environment was replaced by a compacted copy: answer what was taken, and let the daemon start this program again. */
static void close_lane(void)
{
    u64 one = 1;
    if (!atomic_exchange(&is_closing, true) && write(closing, &one, sizeof one) < 0)
        leave(EXIT_FAILED, "an event could not be written");
}

static void park(struct clerk *clerk)
{
    off_duty(clerk);
    if (atomic_fetch_sub(&at_work, 1) == 1) {
        drain_desk();
        leave(EXIT_REPLACED, NULL);
    }
    while (true)
        pause();
}

/* Waits for a request and reads it; returns its length, or a negative errno. */
static ssize_t take(struct clerk *clerk, u8 *request)
{
    struct pollfd descriptors[2] = {{clerk->device, POLLIN, 0}, {closing, POLLIN, 0}};
    while (true) {
        if (is_closing)
            park(clerk);
        ssize_t length = read(clerk->device, request, LONGEST_REQUEST);
        bool waited = length >= 0;
        if (!waited && errno != EAGAIN)
            return -errno;
        int score = clerk->score + (waited ? WAITED : NOT_WAITED);
        clerk->score = score < 0 ? 0 : score > MOST ? MOST : score;
        if (clerk->score > CROWDED)
            off_duty(clerk);
        if (waited)
            return length;
        if (!clerk->on_duty && clerk->score <= CROWDED) {
            pthread_mutex_lock(&duty);
            clerk->on_duty = true;
        }
        if (poll(descriptors, 2, -1) < 0 && errno != EINTR)
            leave(EXIT_FAILED, "waiting for requests failed");
    }
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
    u64 key = length >= sizeof(struct fuse_in_header) ? key_of(request, length) : 1;
    if (!is_hazard(key)) {
        begin_hazard(clerk->number, key);
        if (!begin(&clerk->snapshot))
            close_lane();
        else
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

int main(int count, char **arguments)
{
    pthread_t thread;
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
    closing = eventfd(0, EFD_CLOEXEC);
    clerks = calloc(plan.devices, sizeof *clerks);
    if (closing < 0 || !clerks)
        leave(EXIT_FAILED, "memory or descriptors are lacking");
    at_work = plan.devices;
    for (u32 each = 0; each < plan.devices; each++) {
        struct clerk *clerk = clerks + each;
        clerk->number = each;
        clerk->device = plan.device[each];
        clerk->answer.room = malloc(ROOM);
        if (!clerk->answer.room || fcntl(clerk->device, F_SETFL, O_NONBLOCK) || pthread_create(&thread, NULL, serve, clerk))
            leave(EXIT_FAILED, "a thread could not be started");
    }
    run_desk(NULL);
}
