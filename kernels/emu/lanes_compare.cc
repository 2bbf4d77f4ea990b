#include "isa.h"

#define EMU_TOPIC "lanes_compare.h"
#define EMU_NAME compare
#include "both.h"
