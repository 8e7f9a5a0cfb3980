// Preloaded into a process without AMX, this carries out each AMX instruction where it traps, so
// that the machine code of the instruction set `amx` runs: see kernels/native/check.py. It knows
// nothing of kernels/native/tiles.h; what it does is from Intel's Software Developer's Manual,
// volume 2.
#include <dlfcn.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

namespace {

struct Config {
  uint8_t palette, start_row, reserved[14];
  uint16_t line_bytes[16];
  uint8_t lines[16];
};
struct State {
  bool set_up;
  Config config;
  uint8_t tiles[8][16][64];
};
thread_local State state;

[[noreturn]] void fail(const char* why) {
  const char* const texts[] = {"amx_trap: ", why, "\n"};
  for (const char* text : texts) {
    if (write(2, text, strlen(text)) < 0) break;
  }
  _exit(132);
}

float nonzero(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x; }

float rounded(double wide) {  // subnormal results are zeros, decided after rounding
  return fabs(wide) < 0x1.ffffffp-127 ? float(copysign(0.0, wide)) : float(wide);
}

double bf16(const uint8_t* p) {
  const uint32_t bits = uint32_t(p[0] | p[1] << 8) << 16;
  float x;
  memcpy(&x, &bits, 4);
  return double(nonzero(x));
}

void dot_bf16(uint8_t* sum, const uint8_t* a, const uint8_t (*b)[64], int column, int units) {
  float chains[2] = {}, total;
  for (int k = 0; k < units; ++k) {
    for (int i = 0; i < 2; ++i) {
      const double product = bf16(a + 4 * k + 2 * i) * bf16(b[k] + 4 * column + 2 * i);
      chains[i] = rounded(double(chains[i]) + product);
    }
  }
  memcpy(&total, sum, 4);
  const float both = rounded(double(chains[0]) + double(chains[1]));
  total = rounded(double(nonzero(total)) + double(both));
  memcpy(sum, &total, 4);
}

void dot_int8(uint8_t* sum, const uint8_t* a, const uint8_t (*b)[64], int column, int units) {
  uint32_t total;
  memcpy(&total, sum, 4);
  for (int i = 0; i < 4 * units; ++i) {
    total += uint32_t(int(int8_t(a[i])) * int(b[i / 4][4 * column + i % 4]));
  }
  memcpy(sum, &total, 4);
}

void multiply(int c, int a, int b, bool floats) {
  const Config& config = state.config;
  const int units = config.line_bytes[a] / 4;
  if (b > 7 || a == b || a == c || b == c || config.lines[c] != config.lines[a] ||
      config.line_bytes[c] != config.line_bytes[b] || units != config.lines[b]) {
    fail("tiles do not fit each other");
  }
  for (int m = 0; m < config.lines[c]; ++m) {
    for (int n = 0; n < config.line_bytes[c] / 4; ++n) {
      (floats ? dot_bf16 : dot_int8)(state.tiles[c][m] + 4 * n, state.tiles[a][m], state.tiles[b],
                                     n, units);
    }
  }
}

void set_up(const void* from) {
  memcpy(&state.config, from, sizeof state.config);
  memset(state.tiles, 0, sizeof state.tiles);
  const Config& config = state.config;
  bool valid = config.palette == 1 && config.start_row == 0;
  for (const uint8_t byte : config.reserved) valid = valid && byte == 0;
  for (int t = 0; t < 16; ++t) {
    const int most = t < 8 ? 1 : 0;
    valid = valid && config.lines[t] <= 16 * most && config.line_bytes[t] <= 64 * most;
  }
  if (!valid) fail("ldtilecfg: not a configuration");
  state.set_up = true;
}

void move(int tile, uint64_t memory, long stride, bool load) {
  if (load) memset(state.tiles[tile], 0, sizeof state.tiles[tile]);
  for (int line = 0; line < state.config.lines[tile]; ++line) {
    void* const at = reinterpret_cast<void*>(memory + uint64_t(line * stride));
    uint8_t* const own = state.tiles[tile][line];
    memcpy(load ? own : at, load ? at : own, state.config.line_bytes[tile]);
  }
}

constexpr int kRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};

// VEX.128.{none, 66, F3, F2}.0F38.W0 opcode; a number of that prefix is in the third byte.
void trapped(int, siginfo_t*, void* context) {
  greg_t* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const uint8_t* const p = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
  if (p[0] != 0xc4 || (p[1] & 31) != 2 || (p[2] & 0x84)) fail("not an AMX instruction");
  const int prefix = p[2] & 3, opcode = p[3], mode = p[4] >> 6, tile = p[4] >> 3 & 7;
  const int last = p[4] & 7, third = ~(p[2] >> 3) & 15;
  int length = 5;
  uint64_t memory = 0;
  long stride = 0;
  if (mode != 3) {
    int base = last;
    if (last == 4) {
      const uint8_t sib = p[length++];
      const int index = (sib >> 3 & 7) | (p[1] & 0x40 ? 0 : 8);
      base = sib & 7;
      if (index != 4) stride = long(registers[kRegisters[index]]) << (sib >> 6);
    }
    if (mode == 0 && base == 5) fail("an address that no compiler was seen to use here");
    memory = uint64_t(registers[kRegisters[base | (p[1] & 0x20 ? 0 : 8)]]);
    int32_t offset = mode == 1 ? int8_t(p[length]) : 0;
    if (mode == 2) memcpy(&offset, p + length, 4);
    length += mode == 1 ? 1 : mode == 2 ? 4 : 0;
    memory += uint64_t(int64_t{offset});
  }
  const int what = opcode << 4 | prefix;
  if (what == 0x490 && mode != 3) {
    set_up(reinterpret_cast<const void*>(memory + uint64_t(stride)));
  } else if (what == 0x490 && p[4] == 0xc0) {
    state.set_up = false;
  } else if (!state.set_up) {
    fail("tiles are not set up");
  } else if (what == 0x493 && mode == 3) {
    memset(state.tiles[tile], 0, sizeof state.tiles[tile]);
  } else if ((what == 0x4b3 || what == 0x4b2) && mode != 3) {
    move(tile, memory, stride, what == 0x4b3);
  } else if ((what == 0x5c2 || what == 0x5e2) && mode == 3) {
    multiply(tile, last, third, what == 0x5c2);
  } else {
    fail("an AMX instruction that is not known here");
  }
  registers[REG_RIP] += length;
}

using Sigaction = int (*)(int, const struct sigaction*, struct sigaction*);

Sigaction original() { return reinterpret_cast<Sigaction>(dlsym(RTLD_NEXT, "sigaction")); }

__attribute__((constructor)) void install() {
  struct sigaction action = {};
  action.sa_sigaction = trapped;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  original()(SIGILL, &action, nullptr);
}

}  // namespace

// Python's fault handler would take this signal for itself.
extern "C" int sigaction(int number, const struct sigaction* action, struct sigaction* before) {
  return original()(number, number == SIGILL ? nullptr : action, before);
}
