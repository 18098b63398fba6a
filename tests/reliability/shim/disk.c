/* A disk that a test can cut the power of: preloaded into the gateway, it records what reaches the files below a folder.
 *
 * DISK_FOLDER is the folder, DISK_LOG the record: one frame for each call that succeeded, appended with one write. A frame is a
 * kind (1 byte), a number (8), an offset (8), the lengths of two paths and of the data (4 each), then these; numbers are in the
 * machine's order. A sync is recorded when it begins and when it has ended, because it promises only what was written before it
 * began; its offset says whether it covers names, too. sync_file_range promises nothing and is left alone.
 *
 * While the file DISK_FULL exists, its content names a folder in which every write fails as on a full disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, LENGTH = 2, CREATED = 3, RENAMED = 4, REMOVED = 5, FOLDER = 6, SYNC_BEGIN = 7, SYNC_END = 8 };

static const char *folder, *full;
static size_t folder_length;
static int record = -1;
static uint64_t syncs;

/* Runs before the program's own code; what is not set switches the rest off. */
__attribute__((constructor)) static void begin(void)
{
    const char *log = getenv("DISK_LOG");
    full = getenv("DISK_FULL");
    folder = getenv("DISK_FOLDER");
    if (folder)
        folder_length = strlen(folder);
    if (folder && log)
        record = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int is_ours(const char *path)
{
    return folder && strncmp(path, folder, folder_length) == 0 && path[folder_length] == '/';
}

/* The path of a descriptor, if it is a file below the folder. */
static int path_of(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    /* A file without a name any more is of no interest after the power cut. */
    return is_ours(path) && !strstr(path, " (deleted)");
}

/* A path that is given relative to a folder, made absolute. */
static int resolved(int at, const char *given, char *path)
{
    if (given[0] == '/') {
        snprintf(path, PATH_MAX, "%s", given);
    } else {
        char base[PATH_MAX], link[64];
        if (at == AT_FDCWD)
            snprintf(link, sizeof link, "/proc/self/cwd");
        else
            snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, base, PATH_MAX - 1);
        if (length <= 0)
            return 0;
        base[length] = 0;
        if (snprintf(path, PATH_MAX, "%s/%s", base, given) >= PATH_MAX)
            return 0;
    }
    return is_ours(path);
}

static void note(uint8_t kind, uint64_t number, uint64_t offset, const char *one, const char *two, const void *data,
                 size_t length)
{
    if (record < 0)
        return;
    uint8_t head[29];
    uint32_t lengths[3] = {(uint32_t)strlen(one), two ? (uint32_t)strlen(two) : 0, (uint32_t)length};
    head[0] = kind;
    memcpy(head + 1, &number, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, lengths, 12);
    struct iovec parts[4] = {{head, sizeof head},
                             {(void *)one, lengths[0]},
                             {(void *)(two ? two : ""), lengths[1]},
                             {(void *)data, length}};
    size_t whole = sizeof head + lengths[0] + lengths[1] + length;
    /* Half a frame would make the record unreadable: then there is none, which the test notices. */
    if (syscall(SYS_writev, record, parts, 4) != (ssize_t)whole)
        abort();
}

/* Whether the disk below this file is full just now. */
static int is_full(int fd)
{
    char path[PATH_MAX], where[PATH_MAX];
    if (!full)
        return 0;
    int saved = errno;
    int list = (int)syscall(SYS_openat, AT_FDCWD, full, O_RDONLY | O_CLOEXEC, 0);
    errno = saved;
    if (list < 0)
        return 0;
    ssize_t length = syscall(SYS_read, list, where, PATH_MAX - 1);
    syscall(SYS_close, list);
    errno = saved;
    if (length <= 0 || !path_of(fd, path))
        return 0;
    where[length] = 0;
    return strncmp(path, where, (size_t)length) == 0;
}

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) \
        next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void wrote(int fd, off_t offset, const void *data, ssize_t done)
{
    char path[PATH_MAX];
    int saved = errno;
    if (done > 0 && path_of(fd, path))
        note(WRITE, 0, (uint64_t)offset, path, NULL, data, (size_t)done);
    errno = saved;
}

ssize_t write(int fd, const void *data, size_t length)
{
    NEXT(write);
    if (is_full(fd)) {
        errno = ENOSPC;
        return -1;
    }
    ssize_t done = next(fd, data, length);
    if (folder && done > 0) {
        int saved = errno;
        off_t end = (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR);
        errno = saved;
        if (end >= done)
            wrote(fd, end - done, data, done);
    }
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    NEXT(writev);
    if (is_full(fd)) {
        errno = ENOSPC;
        return -1;
    }
    ssize_t done = next(fd, parts, count), left = done;
    if (!folder || done <= 0)
        return done;
    int saved = errno;
    off_t at = (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) - done;
    for (int part = 0; at >= 0 && part < count && left > 0; part++) {
        ssize_t length = (ssize_t)parts[part].iov_len < left ? (ssize_t)parts[part].iov_len : left;
        wrote(fd, at, parts[part].iov_base, length);
        at += length;
        left -= length;
    }
    errno = saved;
    return done;
}

#define PWRITE(name) \
    ssize_t name(int fd, const void *data, size_t length, off_t offset) \
    { \
        NEXT(name); \
        if (is_full(fd)) { \
            errno = ENOSPC; \
            return -1; \
        } \
        ssize_t done = next(fd, data, length, offset); \
        wrote(fd, offset, data, done); \
        return done; \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define TRUNCATE(name) \
    int name(int fd, off_t length) \
    { \
        NEXT(name); \
        char path[PATH_MAX]; \
        int done = next(fd, length), saved = errno; \
        if (done == 0 && path_of(fd, path)) \
            note(LENGTH, 0, (uint64_t)length, path, NULL, NULL, 0); \
        errno = saved; \
        return done; \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define SYNC(name, names) \
    int name(int fd) \
    { \
        NEXT(name); \
        char path[PATH_MAX]; \
        int saved = errno, ours = path_of(fd, path); \
        uint64_t number = 0; \
        if (ours) { \
            number = ((uint64_t)getpid() << 32) + __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST); \
            note(SYNC_BEGIN, number, names, path, NULL, NULL, 0); \
        } \
        errno = saved; \
        int done = next(fd); \
        saved = errno; \
        if (ours && done == 0) \
            note(SYNC_END, number, names, path, NULL, NULL, 0); \
        errno = saved; \
        return done; \
    }
SYNC(fsync, 1)
SYNC(fdatasync, 0)

/* A file that was opened: whether it is new, or has lost what it had. */
static int opened(int fd, int flags, int was_there)
{
    char path[PATH_MAX];
    int saved = errno;
    if (fd >= 0 && (flags & (O_CREAT | O_TRUNC)) && path_of(fd, path)) {
        if (!was_there)
            note(CREATED, 0, 0, path, NULL, NULL, 0);
        else if (flags & O_TRUNC)
            note(LENGTH, 0, 0, path, NULL, NULL, 0);
    }
    errno = saved;
    return fd;
}

static int is_there(int at, const char *path)
{
    int saved = errno;
    int found = syscall(SYS_faccessat, at, path, F_OK) == 0;
    errno = saved;
    return found;
}

static int mode_of(int flags, va_list *list)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(*list, int) : 0;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        NEXT(name); \
        va_list list; \
        va_start(list, flags); \
        int mode = mode_of(flags, &list); \
        va_end(list); \
        int before = !folder || !(flags & (O_CREAT | O_TRUNC)) || is_there(AT_FDCWD, path); \
        return opened(next(path, flags, mode), flags, before); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int at, const char *path, int flags, ...) \
    { \
        NEXT(name); \
        va_list list; \
        va_start(list, flags); \
        int mode = mode_of(flags, &list); \
        va_end(list); \
        int before = !folder || !(flags & (O_CREAT | O_TRUNC)) || is_there(at, path); \
        return opened(next(at, path, flags, mode), flags, before); \
    }
OPENAT(openat)
OPENAT(openat64)

static int renamed(int done, int from_at, const char *from, int to_at, const char *to)
{
    char one[PATH_MAX], two[PATH_MAX];
    int saved = errno;
    if (done == 0 && resolved(from_at, from, one) && resolved(to_at, to, two))
        note(RENAMED, 0, 0, one, two, NULL, 0);
    errno = saved;
    return done;
}

int rename(const char *from, const char *to)
{
    NEXT(rename);
    return renamed(next(from, to), AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    NEXT(renameat);
    return renamed(next(from_at, from, to_at, to), from_at, from, to_at, to);
}

static int removed(int done, int at, const char *path)
{
    char one[PATH_MAX];
    int saved = errno;
    if (done == 0 && resolved(at, path, one))
        note(REMOVED, 0, 0, one, NULL, NULL, 0);
    errno = saved;
    return done;
}

int unlink(const char *path)
{
    NEXT(unlink);
    return removed(next(path), AT_FDCWD, path);
}

int unlinkat(int at, const char *path, int flags)
{
    NEXT(unlinkat);
    return removed(next(at, path, flags), at, path);
}

int rmdir(const char *path)
{
    NEXT(rmdir);
    return removed(next(path), AT_FDCWD, path);
}

int mkdir(const char *path, mode_t mode)
{
    NEXT(mkdir);
    char one[PATH_MAX];
    int done = next(path, mode), saved = errno;
    if (done == 0 && resolved(AT_FDCWD, path, one))
        note(FOLDER, 0, 0, one, NULL, NULL, 0);
    errno = saved;
    return done;
}
