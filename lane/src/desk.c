#include "lane.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Requests that Python answers.  Each is kept until its answer has come, so that it can be sent to another process if
 * the worker that has it dies; a request that was with two such workers fails.  Nothing here waits for a worker.
 *
 *   to a worker    kind u32 = REQUEST · slot u32 · the request
 *                  kind u32 = VERSION · 0 u32 · mount serial u64
 *   from a worker  kind u32 = REQUEST · slot u32 · length u64 · the answer, if it is not in the slot
 *                  kind u32 = VERSION · is it living u32 · struct described
 *
 * Slots are parts of memory shared with one worker.  A request whose answer may be long has one.
 */
enum {
    REQUEST = 1,
    VERSION = 2,
    SLOTS = 8,
    SLOT_BYTES = LARGEST_ANSWER + 4096,
    SHORT_ANSWER = 64 * 1024,
    MESSAGE = SHORT_ANSWER + 4096,
    MOST_ERRANDS = 65536,
    BUCKETS = 4096,
    VERSIONS = 2048,
    DRAIN_MS = 2000,
    ATTEMPTS = 2,
    CONTROL = MOST_WORKERS, /* in an event, where a worker has its number */
};

struct described {
    u64 mount, epoch, root, parent;
    i64 created_ns, mtime_ns;
    u64 mode;
};

struct errand {
    u64 unique;
    int device, attempts;
    u32 slot;
    bool needs_slot, is_sent;
    struct worker *worker;
    struct errand *next_in_bucket, *next, *before; /* of the same worker, in order */
    size_t length;
    u8 request[];
};

struct worker {
    int socket;
    u8 *memory;
    bool busy[SLOTS];
    int outstanding;
    bool has_unsent;
    struct errand *first, *last;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct worker workers[MOST_WORKERS];
static struct errand *buckets[BUCKETS];
static int errands, events;
static pthread_rwlock_t versions_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct version versions[VERSIONS];
static _Atomic u64 asked[VERSIONS]; /* mount serial and epoch of the last question */

static void watch(int descriptor, u64 number, u32 wanted, int operation)
{
    struct epoll_event event = {.events = wanted, .data.u64 = number};
    epoll_ctl(events, operation, descriptor, &event);
}

void open_desk(void)
{
    struct stat status;
    events = epoll_create1(EPOLL_CLOEXEC);
    if (events < 0)
        leave(EXIT_FAILED, "no descriptors are left");
    for (u32 each = 0; each < plan.workers; each++) {
        workers[each].socket = plan.worker[each];
        workers[each].memory = mmap(NULL, (size_t)SLOTS * SLOT_BYTES, PROT_READ, MAP_SHARED, plan.memory[each], 0);
        if (fstat(plan.memory[each], &status) || status.st_size < (off_t)SLOTS * SLOT_BYTES ||
            workers[each].memory == MAP_FAILED)
            leave(EXIT_UNSUITED, "the memory for answers is too small");
        watch(plan.worker[each], each, EPOLLIN, EPOLL_CTL_ADD);
    }
    watch(plan.control, CONTROL, EPOLLIN, EPOLL_CTL_ADD);
}

static struct errand **bucket_of(u64 unique) { return &buckets[(unique >> 1) % BUCKETS]; }

static void fail(int device, u64 unique, int number)
{
    struct fuse_out_header header = {sizeof header, -number, unique};
    if (write(device, &header, sizeof header) < 0)
        return; /* the process that asked was killed, or the mount has ended */
}

/* -- under the lock -------------------------------------------------------------------------------------------------- */

static void unlink_errand(struct errand *errand)
{
    struct worker *worker = errand->worker;
    if (errand->before)
        errand->before->next = errand->next;
    else
        worker->first = errand->next;
    if (errand->next)
        errand->next->before = errand->before;
    else
        worker->last = errand->before;
    worker->outstanding--;
    if (errand->slot != NONE)
        worker->busy[errand->slot] = false;
}

static void drop_errand(struct errand *errand)
{
    struct errand **link = bucket_of(errand->unique);
    while (*link != errand)
        link = &(*link)->next_in_bucket;
    *link = errand->next_in_bucket;
    errands--;
    free(errand);
}

static bool take_slot(struct errand *errand)
{
    if (!errand->needs_slot || errand->slot != NONE)
        return true;
    for (u32 each = 0; each < SLOTS; each++)
        if (!errand->worker->busy[each]) {
            errand->worker->busy[each] = true;
            errand->slot = each;
            return true;
        }
    return false;
}

/* Sends what can be sent at once; the rest is sent when the worker has taken or answered something. */
static void send_waiting(struct worker *worker)
{
    bool has_unsent = false, is_full = false;
    for (struct errand *errand = worker->first; errand; errand = errand->next) {
        if (errand->is_sent)
            continue;
        if (is_full || !take_slot(errand)) {
            has_unsent = true;
            continue;
        }
        u32 head[2] = {REQUEST, errand->slot};
        struct iovec parts[2] = {{head, sizeof head}, {errand->request, errand->length}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        if (sendmsg(worker->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            is_full = has_unsent = true; /* or it has died, and is replaced */
        else
            errand->is_sent = true;
    }
    if (has_unsent != worker->has_unsent || is_full)
        watch(worker->socket, worker - workers, EPOLLIN | (is_full ? EPOLLOUT : 0), EPOLL_CTL_MOD);
    worker->has_unsent = has_unsent || is_full;
}

static void give(struct errand *errand, struct worker *worker)
{
    errand->worker = worker;
    errand->slot = NONE;
    errand->is_sent = false;
    errand->next = NULL;
    errand->before = worker->last;
    if (worker->last)
        worker->last->next = errand;
    else
        worker->first = errand;
    worker->last = errand;
    worker->outstanding++;
    send_waiting(worker);
}

static struct worker *least_busy(void)
{
    struct worker *chosen = workers;
    for (u32 each = 1; each < plan.workers; each++)
        if (workers[each].outstanding < chosen->outstanding)
            chosen = workers + each;
    return chosen;
}

/* -- called by the threads that take requests ------------------------------------------------------------------------ */

void hand_over(int device, const u8 *request, size_t length)
{
    struct fuse_in_header header;
    if (length < sizeof header)
        return;
    memcpy(&header, request, sizeof header);
    if (is_silent(header.opcode))
        return; /* nothing would end the errand */
    struct errand *errand = errands < MOST_ERRANDS ? malloc(sizeof *errand + length) : NULL;
    if (!errand) {
        fail(device, header.unique, ENOMEM);
        return;
    }
    bool may_be_long = header.opcode == FUSE_READ || header.opcode == FUSE_READDIR || header.opcode == FUSE_READDIRPLUS;
    *errand = (struct errand){.unique = header.unique, .device = device, .length = length, .needs_slot = may_be_long};
    memcpy(errand->request, request, length);
    pthread_mutex_lock(&lock);
    struct errand **bucket = bucket_of(errand->unique);
    errand->next_in_bucket = *bucket;
    *bucket = errand;
    errands++;
    give(errand, least_busy());
    pthread_mutex_unlock(&lock);
}

static void ask_for_version(u64 mount, u64 now)
{
    u64 question = mount << 32 ^ now;
    if (atomic_exchange(&asked[mount % VERSIONS], question) == question)
        return;
    struct {
        u32 kind, zero;
        u64 mount;
    } message = {VERSION, 0, mount};
    pthread_mutex_lock(&lock);
    if (send(least_busy()->socket, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        asked[mount % VERSIONS] = 0;
    pthread_mutex_unlock(&lock);
}

bool find_version(u64 mount, u64 now, struct version *version)
{
    pthread_rwlock_rdlock(&versions_lock);
    *version = versions[mount % VERSIONS];
    pthread_rwlock_unlock(&versions_lock);
    if (version->mount == mount && version->epoch == now && version->root.node)
        return true;
    ask_for_version(mount, now);
    return false;
}

/* -- answers of workers ---------------------------------------------------------------------------------------------- */

static void take_version(bool is_living, const struct described *described)
{
    struct version version = {.epoch = described->epoch, .mount = described->mount, .parent = described->parent};
    version.created_ns = described->created_ns;
    version.root = (struct entry){.node = described->root, .mtime_ns = described->mtime_ns};
    version.root.kind = KIND_DIRECTORY << 9 | (described->mode & 0777);
    if (!is_living)
        version.root.node = 0;
    pthread_rwlock_wrlock(&versions_lock);
    bool is_new = versions[version.mount % VERSIONS].root.node != version.root.node;
    versions[version.mount % VERSIONS] = version;
    pthread_rwlock_unlock(&versions_lock);
    if (is_living && is_new)
        bring_in(described->root);
}

static void take_answer(struct worker *worker, u32 slot, u64 length, const u8 *data, size_t present)
{
    struct fuse_out_header header;
    const u8 *bytes = data;
    if (slot != NONE) {
        if (slot >= SLOTS || length > SLOT_BYTES)
            return;
        bytes = worker->memory + (size_t)slot * SLOT_BYTES;
    } else if (length != present)
        return;
    if (length < sizeof header)
        return;
    memcpy(&header, bytes, sizeof header);
    if (header.len != length)
        return;
    pthread_mutex_lock(&lock);
    struct errand *errand = *bucket_of(header.unique);
    while (errand && errand->unique != header.unique)
        errand = errand->next_in_bucket;
    if (!errand || errand->worker != worker || (slot != NONE && errand->slot != slot)) {
        pthread_mutex_unlock(&lock);
        return; /* it was answered by another worker */
    }
    int device = errand->device;
    unlink_errand(errand);
    /* The slot is written to the device before another request can have it: both happen in this thread or under lock. */
    if (write(device, bytes, length) < 0 && errno != ENOENT && errno != ENODEV)
        fail(device, header.unique, EIO);
    drop_errand(errand);
    if (worker->has_unsent)
        send_waiting(worker);
    pthread_mutex_unlock(&lock);
}

static void receive(struct worker *worker)
{
    static u8 message[MESSAGE];
    u32 head[2];
    u64 length;
    ssize_t count = recv(worker->socket, message, sizeof message, MSG_DONTWAIT);
    if (count <= 0) {
        if (!count || (errno != EAGAIN && errno != EINTR))
            epoll_ctl(events, EPOLL_CTL_DEL, worker->socket, NULL); /* it has died: the daemon sends another socket */
        return;
    }
    if ((size_t)count < sizeof head)
        return;
    memcpy(head, message, sizeof head);
    if (head[0] == VERSION && (size_t)count == sizeof head + sizeof(struct described)) {
        struct described described;
        memcpy(&described, message + sizeof head, sizeof described);
        take_version(head[1], &described);
    } else if (head[0] == REQUEST && (size_t)count >= sizeof head + sizeof length) {
        memcpy(&length, message + sizeof head, sizeof length);
        size_t before = sizeof head + sizeof length;
        take_answer(worker, head[1], length, message + before, count - before);
    }
}

/* A worker has died, and another process serves in its place, at another socket. */
static void replace(u32 number, int socket)
{
    if (number >= plan.workers) {
        close(socket);
        return;
    }
    struct worker *worker = workers + number;
    pthread_mutex_lock(&lock);
    close(worker->socket);
    worker->socket = socket;
    worker->has_unsent = false;
    watch(socket, number, EPOLLIN, EPOLL_CTL_ADD);
    struct errand *errand = worker->first;
    while (errand) {
        struct errand *next = errand->next;
        if (errand->is_sent && ++errand->attempts >= ATTEMPTS) {
            fail(errand->device, errand->unique, EIO);
            unlink_errand(errand);
            drop_errand(errand);
        } else
            errand->is_sent = false;
        errand = next;
    }
    for (u32 each = 0; each < VERSIONS; each++)
        asked[each] = 0; /* questions may have been lost with it */
    send_waiting(worker);
    pthread_mutex_unlock(&lock);
}

static void take_order(void)
{
    u32 number;
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {&number, sizeof number};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t count = recvmsg(plan.control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (!count || (count < 0 && errno != EAGAIN && errno != EINTR))
        leave(EXIT_ENDED, NULL); /* the daemon has been killed: its log would be left with a line that says nothing */
    struct cmsghdr *head = count == sizeof number ? CMSG_FIRSTHDR(&message) : NULL;
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
        int socket;
        memcpy(&socket, CMSG_DATA(head), sizeof socket);
        replace(number, socket);
    }
}

void *run_desk(void *nothing)
{
    (void)nothing;
    while (true) {
        struct epoll_event event;
        if (epoll_wait(events, &event, 1, -1) != 1)
            continue;
        if (event.data.u64 == CONTROL)
            take_order();
        else if (event.data.u64 < MOST_WORKERS) {
            struct worker *worker = workers + event.data.u64;
            if (event.events & EPOLLOUT) {
                pthread_mutex_lock(&lock);
                send_waiting(worker);
                pthread_mutex_unlock(&lock);
            }
            if (event.events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive(worker);
        }
    }
    return NULL;
}

/* Waits until the workers have answered all, or for two seconds. */
void drain_desk(void)
{
    for (int waited = 0; waited < DRAIN_MS; waited++) {
        pthread_mutex_lock(&lock);
        bool is_empty = !errands;
        pthread_mutex_unlock(&lock);
        if (is_empty)
            return;
        usleep(1000);
    }
}
