#include "isa.h"

#define EMU_TOPIC "lanes_warp.h"
#define EMU_NAME warp
#include "both.h"
