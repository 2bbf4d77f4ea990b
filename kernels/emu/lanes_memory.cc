#include "isa.h"

#define EMU_TOPIC "lanes_memory.h"
#define EMU_NAME memory
#include "both.h"
