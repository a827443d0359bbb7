/* Calls that younger architectures no longer have, done by those that took their place, so that a program that does calls
   by their numbers is the same everywhere. To be included after all other headers. */
#if !defined SYS_unlink || !defined SYS_utime
#include <stdarg.h>

enum {
    NOT_HERE = 1000000, OLD_chmod, OLD_chown, OLD_creat, OLD_futimesat, OLD_lchown, OLD_link, OLD_mkdir, OLD_mknod,
    OLD_open, OLD_rename, OLD_rmdir, OLD_symlink, OLD_unlink, OLD_utime, OLD_utimes
};

#ifndef SYS_unlink
#define SYS_chmod OLD_chmod
#define SYS_chown OLD_chown
#define SYS_creat OLD_creat
#define SYS_futimesat OLD_futimesat
#define SYS_lchown OLD_lchown
#define SYS_link OLD_link
#define SYS_mkdir OLD_mkdir
#define SYS_mknod OLD_mknod
#define SYS_open OLD_open
#define SYS_rename OLD_rename
#define SYS_rmdir OLD_rmdir
#define SYS_symlink OLD_symlink
#define SYS_unlink OLD_unlink
#define SYS_utimes OLD_utimes
#endif
#ifndef SYS_utime
#define SYS_utime OLD_utime
#endif

static long any_call(long number, ...)
{
    long a, b, c, d, e, f;
    va_list list;
    va_start(list, number);
    a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
    d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
    va_end(list);
    switch (number) {
    case OLD_chmod: return syscall(SYS_fchmodat, AT_FDCWD, a, b);
    case OLD_chown: return syscall(SYS_fchownat, AT_FDCWD, a, b, c, 0);
    case OLD_creat: return syscall(SYS_openat, AT_FDCWD, a, O_CREAT | O_WRONLY | O_TRUNC, b);
    case OLD_futimesat: return syscall(SYS_utimensat, a, b, c, 0);
    case OLD_lchown: return syscall(SYS_fchownat, AT_FDCWD, a, b, c, AT_SYMLINK_NOFOLLOW);
    case OLD_link: return syscall(SYS_linkat, AT_FDCWD, a, AT_FDCWD, b, 0);
    case OLD_mkdir: return syscall(SYS_mkdirat, AT_FDCWD, a, b);
    case OLD_mknod: return syscall(SYS_mknodat, AT_FDCWD, a, b, c);
    case OLD_open: return syscall(SYS_openat, AT_FDCWD, a, b, c);
    case OLD_rename: return syscall(SYS_renameat, AT_FDCWD, a, AT_FDCWD, b);
    case OLD_rmdir: return syscall(SYS_unlinkat, AT_FDCWD, a, AT_REMOVEDIR);
    case OLD_symlink: return syscall(SYS_symlinkat, a, AT_FDCWD, b);
    case OLD_unlink: return syscall(SYS_unlinkat, AT_FDCWD, a, 0);
    case OLD_utime: case OLD_utimes: return syscall(SYS_utimensat, AT_FDCWD, a, b, 0);
    default: return syscall(number, a, b, c, d, e, f);
    }
}
#define syscall any_call
#endif
