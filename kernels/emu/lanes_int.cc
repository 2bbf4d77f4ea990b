#include "isa.h"

#define EMU_TOPIC "lanes_int.h"
#define EMU_NAME integer
#include "both.h"
