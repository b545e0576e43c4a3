#include "base/fork.h"

bool lido__forked;
