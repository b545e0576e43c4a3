/*
 * errno, its address asked for by a call that no compiler keeps the result of.
 */
#include <errno.h>

#include <lido.h>

#undef errno

int *lido_errno_address(void)
{
    return __errno_location();
}
