#include "isa.h"

#define EMU_TOPIC "lanes_matrix.h"
#define EMU_NAME matrix
#include "both.h"
