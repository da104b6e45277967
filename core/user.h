/* user.h: the account that workers and keepers run as when weir is started by root. */
#ifndef USER_H
#define USER_H

#include <stdbool.h>
#include <sys/types.h>

#include <weir/error.h>

typedef struct user {
    const char *name; /* borrowed */
    uid_t uid;
    gid_t gid; /* the user's primary group */
} user_t;

/* Look an account up by name. */
int user_find(const char *name, user_t *user, weir_error_t *err);

/* Become that user for good: supplementary groups, group, user, in this order, since each step needs the rights that the next
 * one gives away; then verify that there is no way back. */
int user_become(const user_t *user, weir_error_t *err);

/* Make a file that this user may go on appending to, or give it an existing one. What is no plain file is left alone. A name in a
 * folder that others write to may have been put there to lead us elsewhere: links are refused. */
int user_give_file(const user_t *user, const char *path, weir_error_t *err);

#endif
