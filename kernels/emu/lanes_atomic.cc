#include "isa.h"

#define EMU_TOPIC "lanes_atomic.h"
#define EMU_NAME atomic
#include "both.h"
