#pragma once
#include "src/device/cpu/kernel.h"
