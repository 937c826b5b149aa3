/* Stands between a program and the C library's file calls, to count, fail, lose or cut short the n-th of them.
 *
 * Loaded with LD_PRELOAD, so it sees the calls of Python, SQLite and FAISS alike. It does nothing until `torture_arm`
 * is given a control block (interposer.py has its twin), and then it only minds files below the block's root. A kill is
 * a SIGKILL that the process sends itself, so it strikes at exactly one call. With a journal, every change is written
 * down with its bytes: power.py makes of it the disk that a power cut could have left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { OPEN = 1, READ = 2, WRITE = 4, SYNC = 8, RENAME = 16, TRUNCATE = 32, UNLINK = 64, MKDIR = 128 };
enum { COUNT, KILL_BEFORE, KILL_AFTER, KILL_TORN, FAIL, SHORT, LOSE };
enum { J_CREATE = 'c', J_WRITE = 'w', J_SYNC = 's', J_RENAME = 'r', J_TRUNCATE = 't', J_UNLINK = 'u', J_MKDIR = 'm', J_LINK = 'l',
       J_SYMLINK = 'y' };

struct control {
    char root[1024];
    int64_t nth;     /* which call, from 1, of those counted */
    int32_t how;
    int32_t error;   /* the errno of FAIL */
    int32_t lasting; /* FAIL: all later ones too, as on a full disk */
    int32_t kinds;   /* which calls are counted */
    int32_t journal; /* a file descriptor, -1: none */
    int32_t fired;   /* how many calls were interfered with */
    int64_t counted;
    int64_t counted_by_kind[8]; /* of all kinds, by the number of their bit */
    char what[1024]; /* the call that was interfered with first */
};

static struct control *control;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

void torture_arm(struct control *block) { control = block; }


/* Paths */

static int is_ours(const char *path) {
    size_t length = strlen(control->root);
    return !strncmp(path, control->root, length) && (path[length] == '/' || !path[length]);
}

static const char *path_of_fd(int fd, char *into) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, into, PATH_MAX - 1);
    if (length < 0) return NULL;
    into[length] = 0;
    return into;
}

/* Returns the absolute path if it is below the root, NULL for all others. */
static const char *below(int directory, const char *path, char *into) {
    if (!control || !path) return NULL;
    if (path[0] == '/') {
        strncpy(into, path, PATH_MAX - 1);
        into[PATH_MAX - 1] = 0;
    } else {
        if (directory == AT_FDCWD ? !getcwd(into, PATH_MAX) : !path_of_fd(directory, into)) return NULL;
        size_t length = strlen(into);
        if (length + strlen(path) + 2 > PATH_MAX) return NULL;
        into[length] = '/';
        strcpy(into + length + 1, path);
    }
    return is_ours(into) ? into : NULL;
}

static const char *open_below(int fd, char *into) {
    return control && path_of_fd(fd, into) && is_ours(into) ? into : NULL;
}

/* The journal */

static void put(const void *bytes, size_t length) {
    while (length) {
        ssize_t written = syscall(SYS_write, control->journal, bytes, length);
        if (written <= 0) return;
        bytes = (const char *)bytes + written;
        length -= written;
    }
}

static void note(char op, const char *path, const char *other, int64_t at, const void *bytes, size_t length) {
    if (control->journal < 0) return;
    struct { int64_t op, at, path, other, length; } head = {op, at, strlen(path), other ? strlen(other) : 0, length};
    put(&head, sizeof head);
    put(path, head.path);
    if (other) put(other, head.other);
    put(bytes, length);
}

/* The n-th call */

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts a call and says what is to become of it; kills at once if it is to be killed before. */
static int verdict(int kind, const char *name, const char *path) {
    control->counted_by_kind[__builtin_ctz(kind)]++;
    if (!(control->kinds & kind)) return COUNT;
    int64_t number = ++control->counted;
    int hit = number == control->nth || (control->lasting && control->nth && number > control->nth);
    if (!hit || control->how == COUNT) return COUNT;
    if (!control->fired++) snprintf(control->what, sizeof control->what, "%s %s", name, path);
    if (control->how == KILL_BEFORE) die();
    return control->how;
}

static void afterwards(int how) {
    if (how == KILL_AFTER || how == KILL_TORN) die();
}

#define ENTER pthread_mutex_lock(&gate)
#define LEAVE pthread_mutex_unlock(&gate)
#define MANAGED(kind, name, path, lost, call, on_success)      \
    do {                                                       \
        ENTER;                                                 \
        int how = verdict(kind, name, path);                   \
        if (how == FAIL || (how == LOSE)) {                    \
            LEAVE;                                             \
            if (how == LOSE) return lost;                      \
            errno = control->error;                            \
            return -1;                                         \
        }                                                      \
        __auto_type result = call;                             \
        int saved = errno;                                     \
        if (result >= 0) { on_success; }                       \
        afterwards(how);                                       \
        LEAVE;                                                 \
        errno = saved;                                         \
        return result;                                         \
    } while (0)

/* Opening */

static int opened(int directory, const char *path, int flags, mode_t mode) {
    char buffer[PATH_MAX];
    const char *ours = below(directory, path, buffer);
    if (!ours) return syscall(SYS_openat, directory, path, flags, mode);
    struct stat state;
    int makes = (flags & O_CREAT) && syscall(SYS_newfstatat, AT_FDCWD, ours, &state, 0) != 0;
    MANAGED(OPEN, "open", ours, -1, (int)syscall(SYS_openat, directory, path, flags, mode), {
        if (makes) note(J_CREATE, ours, NULL, 0, NULL, 0);
        else if (flags & O_TRUNC) note(J_TRUNCATE, ours, NULL, 0, NULL, 0);
    });
}

#define MODE                                  \
    mode_t mode = 0;                          \
    if (flags & (O_CREAT | O_TMPFILE)) {      \
        va_list rest;                         \
        va_start(rest, flags);                \
        mode = va_arg(rest, int);             \
        va_end(rest);                         \
    }
int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int directory, const char *path, int flags, ...) { MODE return opened(directory, path, flags, mode); }
int openat64(int directory, const char *path, int flags, ...) { MODE return opened(directory, path, flags, mode); }

/* Reading */

ssize_t read(int fd, void *into, size_t length) {
    char buffer[PATH_MAX];
    const char *ours = open_below(fd, buffer);
    if (!ours) return syscall(SYS_read, fd, into, length);
    MANAGED(READ, "read", ours, 0, syscall(SYS_read, fd, into, length), {});
}

static ssize_t read_at(int fd, void *into, size_t length, off_t at) {
    char buffer[PATH_MAX];
    const char *ours = open_below(fd, buffer);
    if (!ours) return syscall(SYS_pread64, fd, into, length, at);
    MANAGED(READ, "pread", ours, 0, syscall(SYS_pread64, fd, into, length, at), {});
}
ssize_t pread(int fd, void *into, size_t length, off_t at) { return read_at(fd, into, length, at); }
ssize_t pread64(int fd, void *into, size_t length, off64_t at) { return read_at(fd, into, length, at); }

/* Writing. at: -1 where the file stands. */

static ssize_t written(int fd, const void *bytes, size_t length, off_t at) {
    char buffer[PATH_MAX];
    const char *ours = open_below(fd, buffer);
    if (!ours) return at < 0 ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, at);
    ENTER;
    int how = verdict(WRITE, "write", ours);
    if (how == FAIL || how == LOSE) {
        LEAVE;
        errno = control->error;
        return how == LOSE ? (ssize_t)length : -1;
    }
    if ((how == SHORT || how == KILL_TORN) && length > 1) length /= 2;
    ssize_t result = at < 0 ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, at);
    int saved = errno;
    if (result > 0) note(J_WRITE, ours, NULL, at < 0 ? lseek(fd, 0, SEEK_CUR) - result : at, bytes, result);
    afterwards(how);
    LEAVE;
    errno = saved;
    return result;
}
ssize_t write(int fd, const void *bytes, size_t length) { return written(fd, bytes, length, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return written(fd, bytes, length, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return written(fd, bytes, length, at); }

/* What copies within the kernel is refused, as many file systems refuse it; callers then read and write. */
ssize_t sendfile(int out, int in, off_t *at, size_t length) {
    if (!control) return syscall(SYS_sendfile, out, in, at, length);
    errno = ENOTSOCK;
    return -1;
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t length) { return sendfile(out, in, at, length); }
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags) {
    if (!control) return syscall(SYS_copy_file_range, in, from, out, to, length, flags);
    errno = EXDEV;
    return -1;
}

/* Syncing */

static int synced(int fd, long call, const char *name) {
    char buffer[PATH_MAX];
    const char *ours = open_below(fd, buffer);
    if (!ours) return syscall(call, fd);
    MANAGED(SYNC, name, ours, 0, (int)syscall(call, fd), note(J_SYNC, ours, NULL, 0, NULL, 0));
}
int fsync(int fd) { return synced(fd, SYS_fsync, "fsync"); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync, "fdatasync"); }

/* Truncating */

static int cut_open(int fd, off_t length) {
    char buffer[PATH_MAX];
    const char *ours = open_below(fd, buffer);
    if (!ours) return syscall(SYS_ftruncate, fd, length);
    MANAGED(TRUNCATE, "ftruncate", ours, 0, (int)syscall(SYS_ftruncate, fd, length),
            note(J_TRUNCATE, ours, NULL, length, NULL, 0));
}
int ftruncate(int fd, off_t length) { return cut_open(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut_open(fd, length); }

static int cut(const char *path, off_t length) {
    char buffer[PATH_MAX];
    const char *ours = below(AT_FDCWD, path, buffer);
    if (!ours) return syscall(SYS_truncate, path, length);
    MANAGED(TRUNCATE, "truncate", ours, 0, (int)syscall(SYS_truncate, path, length),
            note(J_TRUNCATE, ours, NULL, length, NULL, 0));
}
int truncate(const char *path, off_t length) { return cut(path, length); }
int truncate64(const char *path, off64_t length) { return cut(path, length); }

/* Giving room back: what has none reads as zeros. */

static int holed(int fd, int mode, off_t at, off_t length) {
    char buffer[PATH_MAX];
    const char *ours = open_below(fd, buffer);
    if (!ours) return syscall(SYS_fallocate, fd, mode, at, length);
    MANAGED(TRUNCATE, "fallocate", ours, 0, (int)syscall(SYS_fallocate, fd, mode, at, length), {
        void *zeros = mode & FALLOC_FL_PUNCH_HOLE ? calloc(length, 1) : NULL;
        if (zeros) note(J_WRITE, ours, NULL, at, zeros, length);
        free(zeros);
    });
}
int fallocate(int fd, int mode, off_t at, off_t length) { return holed(fd, mode, at, length); }
int fallocate64(int fd, int mode, off64_t at, off64_t length) { return holed(fd, mode, at, length); }

/* Names */

static int renamed(int from_directory, const char *from, int to_directory, const char *to) {
    char buffer[PATH_MAX], other[PATH_MAX];
    const char *ours = below(from_directory, from, buffer), *target = below(to_directory, to, other);
    if (!ours || !target) return syscall(SYS_renameat2, from_directory, from, to_directory, to, 0);
    MANAGED(RENAME, "rename", ours, 0, (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, 0),
            note(J_RENAME, ours, target, 0, NULL, 0));
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to); }

static int removed(int directory, const char *path, int flags) {
    char buffer[PATH_MAX];
    const char *ours = below(directory, path, buffer);
    if (!ours) return syscall(SYS_unlinkat, directory, path, flags);
    MANAGED(UNLINK, "unlink", ours, 0, (int)syscall(SYS_unlinkat, directory, path, flags),
            note(J_UNLINK, ours, NULL, 0, NULL, 0));
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int directory, const char *path, int flags) { return removed(directory, path, flags); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }

static int made(int directory, const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    const char *ours = below(directory, path, buffer);
    if (!ours) return syscall(SYS_mkdirat, directory, path, mode);
    MANAGED(MKDIR, "mkdir", ours, 0, (int)syscall(SYS_mkdirat, directory, path, mode),
            note(J_MKDIR, ours, NULL, 0, NULL, 0));
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int directory, const char *path, mode_t mode) { return made(directory, path, mode); }

/* A link is counted as a folder is, as a new name. */
static int linked(int from_directory, const char *from, int to_directory, const char *to, int flags) {
    char buffer[PATH_MAX], other[PATH_MAX];
    const char *ours = below(to_directory, to, buffer), *source = below(from_directory, from, other);
    if (!ours || !source) return syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
    MANAGED(MKDIR, "link", ours, 0, (int)syscall(SYS_linkat, from_directory, from, to_directory, to, flags),
            note(J_LINK, source, ours, 0, NULL, 0));
}
int link(const char *from, const char *to) { return linked(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int a, const char *from, int b, const char *to, int flags) { return linked(a, from, b, to, flags); }

static int pointed(const char *from, int directory, const char *path) {
    char buffer[PATH_MAX];
    const char *ours = below(directory, path, buffer);
    if (!ours) return syscall(SYS_symlinkat, from, directory, path);
    MANAGED(MKDIR, "symlink", ours, 0, (int)syscall(SYS_symlinkat, from, directory, path),
            note(J_SYMLINK, ours, NULL, 0, from, strlen(from)));
}
int symlink(const char *from, const char *path) { return pointed(from, AT_FDCWD, path); }
int symlinkat(const char *from, int directory, const char *path) { return pointed(from, directory, path); }
