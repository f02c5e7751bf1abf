/* A full disk for one program and what it starts, without any rights. In: the path in GROUNDSWELL_DISK_FULL. Out: while a file is
   there, whatever would make a file of the same file system larger fails with ENOSPC; what is allocated can still be written.
   It lets standard output and error through, and what stdio writes by itself. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int is_full(int file, off_t end) {
  const char *mark = getenv("GROUNDSWELL_DISK_FULL");
  struct stat full, now;
  int before = errno;
  int is = mark && stat(mark, &full) == 0 && fstat(file, &now) == 0 && S_ISREG(now.st_mode) &&
           now.st_dev == full.st_dev && end > now.st_size;
  errno = is ? ENOSPC : before;
  return is;
}

ssize_t write(int file, const void *from, size_t count) {
  REAL(ssize_t, "write", int, const void *, size_t);
  if (file > STDERR_FILENO && is_full(file, lseek(file, 0, SEEK_CUR) + (off_t)count)) return -1;
  return real(file, from, count);
}

ssize_t pwrite(int file, const void *from, size_t count, off_t at) {
  REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
  return is_full(file, at + (off_t)count) ? -1 : real(file, from, count, at);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at) {
  REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t);
  off_t end = at;
  for (int part = 0; part < count; part++) end += (off_t)parts[part].iov_len;
  return is_full(file, end) ? -1 : real(file, parts, count, at);
}

int posix_fallocate(int file, off_t at, off_t count) {
  REAL(int, "posix_fallocate", int, off_t, off_t);
  return is_full(file, at + count) ? ENOSPC : real(file, at, count);
}
