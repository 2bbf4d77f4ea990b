#include "isa.h"

#define EMU_TOPIC "lanes_control.h"
#define EMU_NAME control
#include "both.h"
