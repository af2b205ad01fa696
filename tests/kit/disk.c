/* A disk that fails when it is told to and remembers what was done to it: preloaded into a process that has a store.
 *
 * DISK_ORDERS names a file: while it holds the word `sync`, syncs of the store fail with EIO; `write`: writes with EROFS;
 * `once`: the next sync fails, and no other until the file is written anew.
 * DISK_LOG names a file to which each write, truncation and sync of the store is appended, after it was done.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct record {
    uint8_t what; /* w: write, t: truncation, b and s: begin and success of a sync */
    uint8_t file; /* 0: the store, 1: its log */
    uint64_t at;  /* offset, size, number of the sync */
    uint32_t length;
} __attribute__((packed));

static uint64_t syncs;
static time_t failed_once;

static int which(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return -1;
    path[length] = 0;
    if (strstr(path, "tollkeeper.db-wal")) return 1;
    return length > 13 && !strcmp(path + length - 13, "tollkeeper.db") ? 0 : -1;
}

static int told(const char *word) {
    char orders[64] = "";
    const char *path = getenv("DISK_ORDERS");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t length = read(file, orders, sizeof orders - 1);
    struct stat about;
    fstat(file, &about);
    close(file);
    if (length > 0 && strstr(orders, word)) return 1;
    if (!strcmp(word, "sync") && length > 0 && strstr(orders, "once") && failed_once != about.st_ino) {
        failed_once = about.st_ino;
        return 1;
    }
    return 0;
}

static void note(char what, int file, uint64_t at, const void *data, uint32_t length) {
    static int log = -1;
    const char *path = getenv("DISK_LOG");
    if (!path || file < 0) return;
    if (log < 0) log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct record record = {what, file, at, length};
    struct iovec parts[] = {{&record, sizeof record}, {(void *)data, length}};
    if (writev(log, parts, 2) < 0) abort();
}

ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    int file = which(descriptor);
    if (file >= 0 && told("write")) return errno = EROFS, -1;
    ssize_t written = real(descriptor, data, length, at);
    if (written > 0) note('w', file, at, data, written);
    return written;
}

int ftruncate64(int descriptor, off64_t size) {
    static int (*real)(int, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "ftruncate64");
    int done = real(descriptor, size);
    if (!done) note('t', which(descriptor), size, 0, 0);
    return done;
}

static int synced(const char *name, int descriptor) {
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    int file = which(descriptor);
    if (file >= 0 && told("sync")) return errno = EIO, -1;
    uint64_t number = __sync_add_and_fetch(&syncs, 1);
    note('b', file, number, 0, 0);
    int done = real(descriptor);
    if (!done) note('s', file, number, 0, 0);
    return done;
}

int fsync(int descriptor) { return synced("fsync", descriptor); }
int fdatasync(int descriptor) { return synced("fdatasync", descriptor); }

long syscall(long number, ...) {
    static long (*real)(long, ...);
    if (!real) real = dlsym(RTLD_NEXT, "syscall");
    va_list given;
    va_start(given, number);
    long a = va_arg(given, long), b = va_arg(given, long), c = va_arg(given, long);
    long d = va_arg(given, long), e = va_arg(given, long), f = va_arg(given, long);
    va_end(given);
    if (number == SYS_io_submit) {
        struct iocb *control = ((struct iocb **)c)[0];
        control->aio_data = __sync_add_and_fetch(&syncs, 1);
        note('b', which(control->aio_fildes), control->aio_data, 0, 0);
    }
    long done = real(number, a, b, c, d, e, f);
    if (number == SYS_io_getevents && done == 1) {
        struct io_event *event = (struct io_event *)d;
        int file = which(((struct iocb *)event->obj)->aio_fildes);
        if (file >= 0 && told("sync")) event->res = -EIO;
        else if (event->res == 0) note('s', file, event->data, 0, 0);
    }
    return done;
}
