/* proc.c: the one variable that all of core sees. */
#include "proc.h"

proc_t *proc;
