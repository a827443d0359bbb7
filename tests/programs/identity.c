/* Prints the process's user and group ids. */
#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    uid_t real, effective, saved;
    gid_t group, effective_group, saved_group;
    getresuid(&real, &effective, &saved);
    getresgid(&group, &effective_group, &saved_group);
    printf("uid %d %d %d gid %d %d %d groups %d\n", real, effective, saved, group, effective_group, saved_group,
           getgroups(0, NULL));
    return 0;
}
