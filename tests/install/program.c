/* A user's program, in the C that is also C++: asks the library for its version, for the text of an
 * error, and to run something. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <lido.h>

static int add_one(void *arg)
{
    return *(int *)arg + 1;
}

int main(int argc, char **argv)
{
    int number = 41;

    if (argc != 2 || strcmp(lido_version_string(), argv[1]) != 0) {
        fprintf(stderr, "the library says it is version %s\n", lido_version_string());
        return 1;
    }
    if (strlen(lido_strerror(-EINVAL)) == 0) {
        fprintf(stderr, "no text for -EINVAL\n");
        return 2;
    }
    if (lido_run(NULL, add_one, &number) != 42) {
        fprintf(stderr, "lido_run did not return what its function returned\n");
        return 3;
    }
    return 0;
}
