/*
 * A disk that hangs or fails by order: preloaded into a server, it stands before the calls that change files below one
 * directory. Reads go on. Everything else (sockets, the log, other directories) passes untouched.
 *
 * The orders come through a small file that both sides map: see `shim.rs`, which has the same layout. This must never
 * allocate, take a lock or call anything that may come back here; so it talks to the kernel by system call numbers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#if __SIZEOF_POINTER__ != 8
#error "offsets are passed to the kernel as one 64-bit register"
#endif

enum { PASS, HANG, FAIL };
enum { WRITE = 1, SYNC = 2, NAMES = 4 };

struct control {
    uint32_t mode;          /* PASS, HANG or FAIL */
    uint32_t operations;    /* which of WRITE, SYNC and NAMES it is about */
    uint32_t error;         /* FAIL: with this errno */
    uint32_t failing_syncs; /* so many syncs fail with EIO, whatever the mode */
    uint32_t attached;      /* the process that has mapped it last */
    uint32_t held;          /* calls that hang right now */
    uint32_t failed;        /* calls that have failed by order */
};

static struct control *control;
static char directory[4096];
static size_t directory_len;

__attribute__((constructor)) static void attach(void)
{
    const char *file = getenv("BULKHEAD_SHIM_CONTROL"), *dir = getenv("BULKHEAD_SHIM_DIRECTORY");
    if (!file || !dir || strlen(dir) >= sizeof directory)
        abort();
    strcpy(directory, dir);
    directory_len = strlen(dir);
    int fd = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || mapped == MAP_FAILED)
        abort();
    syscall(SYS_close, fd);
    control = mapped;
    __atomic_store_n(&control->attached, getpid(), __ATOMIC_SEQ_CST);
}

static uint32_t load(uint32_t *field) { return __atomic_load_n(field, __ATOMIC_SEQ_CST); }

/* Whether an order concerns such an operation right now: cheap, for it is asked at every call. */
static int is_harmed(uint32_t operation)
{
    if (!control)
        return 0;
    if (operation == SYNC && load(&control->failing_syncs))
        return 1;
    return load(&control->mode) != PASS && (load(&control->operations) & operation);
}

/* Waits for as long as the disk hangs. What the call is to fail with; 0: it may go on. */
static int harm(uint32_t operation)
{
    uint32_t failing = operation == SYNC ? load(&control->failing_syncs) : 0;
    while (failing && !__atomic_compare_exchange_n(&control->failing_syncs, &failing, failing - 1, 0, __ATOMIC_SEQ_CST,
                                                   __ATOMIC_SEQ_CST))
        ;
    int error = failing ? EIO : 0, waits = 0;
    while (!error && is_harmed(operation)) {
        if (load(&control->mode) == FAIL) {
            error = load(&control->error);
            break;
        }
        if (!waits++)
            __atomic_add_fetch(&control->held, 1, __ATOMIC_SEQ_CST);
        struct timespec pause = {0, 1000000};
        syscall(SYS_nanosleep, &pause, NULL);
    }
    if (waits)
        __atomic_sub_fetch(&control->held, 1, __ATOMIC_SEQ_CST);
    if (error)
        __atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
    return error;
}

static int is_within(const char *path, size_t len)
{
    return len >= directory_len && !memcmp(path, directory, directory_len)
           && (len == directory_len || path[directory_len] == '/');
}

static size_t put_number(char *out, unsigned number)
{
    char digits[12];
    size_t count = 0, len = 0;
    do
        digits[count++] = '0' + number % 10;
    while (number /= 10);
    while (count)
        out[len++] = digits[--count];
    out[len] = 0;
    return len;
}

static int is_fd_within(int fd)
{
    char link[32] = "/proc/self/fd/", path[4096];
    if (fd < 0)
        return 0;
    put_number(link + strlen(link), fd);
    ssize_t len = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path);
    return len > 0 && is_within(path, len);
}

static int is_path_within(int at, const char *path)
{
    char here[4096];
    if (!path)
        return 0;
    if (path[0] == '/')
        return is_within(path, strlen(path));
    if (at != AT_FDCWD)
        return is_fd_within(at);
    long len = syscall(SYS_getcwd, here, sizeof here);
    return len > 1 && is_within(here, len - 1);
}

/* The errno to fail with, or 0. The caller's own errno stays as it is. */
static int harm_fd(uint32_t operation, int fd)
{
    if (!is_harmed(operation))
        return 0;
    int kept = errno, error = is_fd_within(fd) ? harm(operation) : 0;
    errno = kept;
    return error;
}

static int harm_path(int at, const char *path)
{
    if (!is_harmed(NAMES))
        return 0;
    int kept = errno, error = is_path_within(at, path) ? harm(NAMES) : 0;
    errno = kept;
    return error;
}

#define UNLESS(harmed, call)                                                                                           \
    do {                                                                                                               \
        int error = (harmed);                                                                                          \
        if (error) {                                                                                                   \
            errno = error;                                                                                             \
            return -1;                                                                                                 \
        }                                                                                                              \
        return (call);                                                                                                 \
    } while (0)

ssize_t write(int fd, const void *bytes, size_t len) { UNLESS(harm_fd(WRITE, fd), syscall(SYS_write, fd, bytes, len)); }

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    UNLESS(harm_fd(WRITE, fd), syscall(SYS_pwrite64, fd, bytes, len, at));
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) { return pwrite(fd, bytes, len, at); }

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    UNLESS(harm_fd(WRITE, fd), syscall(SYS_writev, fd, parts, count));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    UNLESS(harm_fd(WRITE, fd), syscall(SYS_pwritev, fd, parts, count, at, 0L));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return pwritev(fd, parts, count, at); }

int ftruncate(int fd, off_t len) { UNLESS(harm_fd(WRITE, fd), syscall(SYS_ftruncate, fd, len)); }

int ftruncate64(int fd, off64_t len) { return ftruncate(fd, len); }

int fallocate(int fd, int mode, off_t at, off_t len)
{
    UNLESS(harm_fd(WRITE, fd), syscall(SYS_fallocate, fd, mode, at, len));
}

int fallocate64(int fd, int mode, off64_t at, off64_t len) { return fallocate(fd, mode, at, len); }

/* Tells its error by its result. */
int posix_fallocate(int fd, off_t at, off_t len)
{
    int kept = errno, error = fallocate(fd, 0, at, len) ? errno : 0;
    errno = kept;
    return error;
}

int posix_fallocate64(int fd, off64_t at, off64_t len) { return posix_fallocate(fd, at, len); }

int fsync(int fd) { UNLESS(harm_fd(SYNC, fd), syscall(SYS_fsync, fd)); }

int fdatasync(int fd) { UNLESS(harm_fd(SYNC, fd), syscall(SYS_fdatasync, fd)); }

int syncfs(int fd) { UNLESS(harm_fd(SYNC, fd), syscall(SYS_syncfs, fd)); }

int sync_file_range(int fd, off64_t at, off64_t len, unsigned flags)
{
    UNLESS(harm_fd(SYNC, fd), syscall(SYS_sync_file_range, fd, at, len, flags));
}

/* Only what creates or empties a file changes the directory. */
static int open_at(int at, const char *path, int flags, mode_t mode)
{
    int changes = flags & (O_CREAT | O_TRUNC);
    UNLESS(changes ? harm_path(at, path) : 0, syscall(SYS_openat, at, path, flags, mode));
}

static mode_t mode_of(int flags, va_list list)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(list, mode_t) : 0;
}

#define OPEN(name, parameters, at, last)                                                                               \
    int name parameters                                                                                                \
    {                                                                                                                  \
        va_list list;                                                                                                  \
        va_start(list, last);                                                                                          \
        mode_t mode = mode_of(flags, list);                                                                            \
        va_end(list);                                                                                                  \
        return open_at(at, path, flags, mode);                                                                         \
    }

OPEN(open, (const char *path, int flags, ...), AT_FDCWD, flags)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, flags)
OPEN(openat, (int at, const char *path, int flags, ...), at, flags)
OPEN(openat64, (int at, const char *path, int flags, ...), at, flags)

int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    UNLESS(harm_path(to_at, to), syscall(SYS_renameat2, from_at, from, to_at, to, 0));
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int unlinkat(int at, const char *path, int flags) { UNLESS(harm_path(at, path), syscall(SYS_unlinkat, at, path, flags)); }

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
    UNLESS(harm_path(to_at, to), syscall(SYS_linkat, from_at, from, to_at, to, flags));
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int mkdirat(int at, const char *path, mode_t mode) { UNLESS(harm_path(at, path), syscall(SYS_mkdirat, at, path, mode)); }

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
