/* user.c: giving up root. A step that fails leaves the process half way: the caller must end it. */
#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

int user_find(const char *name, user_t *user, weir_error_t *err)
{
    errno = 0;
    const struct passwd *pw = getpwnam(name);
    if (pw == NULL && errno != 0)
        return weir_error(err, "user: cannot look up '%s': %s", name, strerror(errno));
    if (pw == NULL)
        return weir_error(err, "user: there is no user '%s' on this machine", name);
    *user = (user_t){name, pw->pw_uid, pw->pw_gid};
    return WEIR_OK;
}

/* Each of these looks at what the kernel says now, not at what the calls returned. */
static bool is_become(const user_t *user)
{
    uid_t uids[3];
    gid_t gids[3];
    if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 || getresgid(&gids[0], &gids[1], &gids[2]) != 0)
        return false;
    for (int i = 0; i < 3; i++)
        if (uids[i] != user->uid || gids[i] != user->gid)
            return false;
    return user->uid == 0 || setuid(0) != 0;
}

int user_become(const user_t *user, weir_error_t *err)
{
    if (initgroups(user->name, user->gid) != 0)
        return weir_error(err, "user: cannot take the groups of '%s': %s", user->name, strerror(errno));
    if (setgid(user->gid) != 0)
        return weir_error(err, "user: cannot take group %u of '%s': %s", user->gid, user->name, strerror(errno));
    if (setuid(user->uid) != 0)
        return weir_error(err, "user: cannot become '%s': %s", user->name, strerror(errno));
    if (!is_become(user))
        return weir_error(err, "user: became '%s', and yet root's rights can be taken back", user->name);
    return WEIR_OK;
}

static int file_give(int fd, const user_t *user, const char *path, weir_error_t *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return weir_error(err, "cannot look at %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || (st.st_uid == user->uid && st.st_gid == user->gid))
        return WEIR_OK;
    if (st.st_nlink != 1)
        return weir_error(err, "%s has a second name, and is not given to '%s'", path, user->name);
    if (fchown(fd, user->uid, user->gid) != 0)
        return weir_error(err, "cannot give %s to '%s': %s", path, user->name, strerror(errno));
    return WEIR_OK;
}

int user_give_file(const user_t *user, const char *path, weir_error_t *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK, 0640);
    if (fd < 0 && errno == ENXIO)
        return WEIR_OK; /* a pipe that nobody reads yet */
    if (fd < 0)
        return weir_error(err, "cannot open %s: %s", path, errno == ELOOP ? "it is a symbolic link" : strerror(errno));
    int rc = file_give(fd, user, path, err);
    close(fd);
    return rc;
}
