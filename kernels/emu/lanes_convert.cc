#include "isa.h"

#define EMU_TOPIC "lanes_convert.h"
#define EMU_NAME convert
#include "both.h"
