#include "isa.h"

#define EMU_TOPIC "lanes_float.h"
#define EMU_NAME floating
#include "both.h"
