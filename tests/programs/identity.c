/* Prints the process's user and group ids, and how many supplementary groups it has besides its own. */
#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    uid_t real, effective, saved;
    gid_t group, effective_group, saved_group, groups[256];
    int others = 0;
    getresuid(&real, &effective, &saved);
    getresgid(&group, &effective_group, &saved_group);
    for (int i = getgroups(256, groups); i-- > 0;)
        others += groups[i] != group;
    printf("uid %d %d %d gid %d %d %d groups %d\n", real, effective, saved, group, effective_group, saved_group, others);
    return 0;
}
