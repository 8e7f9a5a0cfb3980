// The part of libucp that is used here, loaded when it is asked for: this library is compiled, and
// runs, where there is none.
//
// Types and numbers are those of UCP's API 1.14 (ucp/api/ucp.h), written down again. Structures
// only grow at their ends there, field masks say which fields are set, and `ucp_init_version` is
// told which version this is: a later 1.x takes it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace perfuse::a2a::ucp {

constexpr unsigned kMajor = 1, kMinor = 14;

// One byte, as there (an enum that is packed); below 0 is an error.
enum class Status : int8_t { OK = 0, INPROGRESS = 1, TRUNCATED = -9, BUSY = -15, CANCELED = -16 };

struct ContextOpaque;
struct WorkerOpaque;
using Context = ContextOpaque*;
using Config = struct ConfigOpaque*;
using Worker = WorkerOpaque*;
using Endpoint = struct EndpointOpaque*;
using Message = struct MessageOpaque*;
using Tag = uint64_t;
using Datatype = uint64_t;

constexpr Datatype kBytes = Datatype{1} << 3;  // contiguous, of one byte each
constexpr Datatype kPieces = 2;                // an array of Piece

struct Piece {
  void* data;
  size_t length;
};

struct ContextParams {
  enum : uint64_t { FEATURES = 1, NAME = 1 << 8 };
  enum : uint64_t { TAG = 1, WAKEUP = 1 << 4 };
  uint64_t field_mask, features;
  size_t request_size;
  void *request_init, *request_cleanup;
  uint64_t tag_sender_mask;
  int mt_workers_shared;
  size_t estimated_num_eps, estimated_num_ppn;
  const char* name;
  size_t later[8];
};

struct WorkerParams {
  enum : uint64_t { THREAD_MODE = 1 };
  enum : int { SERIALIZED = 1 };  // one thread at a time, whichever
  uint64_t field_mask;
  int thread_mode;
  uint64_t cpu_mask[16];
  unsigned events;
  void* user_data;
  int event_fd;
  uint64_t flags;
  const char* name;
  size_t later[8];
};

struct SocketAddress {
  const void* address;
  uint32_t length;
};

struct EndpointParams {
  enum : uint64_t { ADDRESS = 1, ERROR_MODE = 1 << 1, ERROR_HANDLER = 1 << 2 };
  enum : int { PEER = 1 };
  uint64_t field_mask;
  const void* address;
  int error_mode;
  void (*on_error)(void* argument, Endpoint endpoint, Status status);
  void* argument;
  void* user_data;
  unsigned flags;
  SocketAddress socket;
  void* connection;
  const char* name;
  SocketAddress local;
  size_t later[8];
};

struct Received {
  Tag tag;
  size_t length;
};

using OnReceived = void (*)(void* request, Status status, const Received* what, void* user_data);

struct RequestParams {
  enum : uint32_t { CALLBACK = 1 << 1, USER_DATA = 1 << 2, DATATYPE = 1 << 3, FLAGS = 1 << 4 };
  enum : uint32_t { ALWAYS_CALL = 1 << 16 };  // nothing ends without the callback
  enum : uint32_t { FORCE = 1 };              // closes an endpoint at once
  uint32_t mask;
  uint32_t flags;
  void* request;
  OnReceived on_received;
  Datatype datatype;
  void* user_data;
  void* reply_buffer;
  int memory_type;
  void* info;
  void* memory;
  size_t later[4];
};

// What calls give back: nothing, an error, or a request that is to be freed.
inline bool is_error(const void* given) { return uintptr_t(given) >= uintptr_t(-100); }
inline bool is_request(const void* given) { return given && !is_error(given); }

// Its functions. `path` is a file or, for the system's, a name that the loader finds.
struct Library {
  explicit Library(const std::string& path);

  Status (*config_read)(const char* prefix, const char* file, Config* config);
  Status (*config_modify)(Config config, const char* name, const char* value);
  void (*config_release)(Config config);
  Status (*init_version)(unsigned major, unsigned minor, const ContextParams* params, Config config,
                         Context* context);
  void (*cleanup)(Context context);
  Status (*worker_create)(Context context, const WorkerParams* params, Worker* worker);
  void (*worker_destroy)(Worker worker);
  Status (*worker_get_address)(Worker worker, void** address, size_t* length);
  void (*worker_release_address)(Worker worker, void* address);
  unsigned (*worker_progress)(Worker worker);
  Status (*worker_get_efd)(Worker worker, int* file);
  Status (*worker_arm)(Worker worker);
  Status (*ep_create)(Worker worker, const EndpointParams* params, Endpoint* endpoint);
  void* (*ep_close_nbx)(Endpoint endpoint, const RequestParams* params);
  void* (*ep_flush_nbx)(Endpoint endpoint, const RequestParams* params);
  void* (*tag_send_nbx)(Endpoint endpoint, const void* data, size_t count, Tag tag,
                        const RequestParams* params);
  void* (*tag_recv_nbx)(Worker worker, void* data, size_t count, Tag tag, Tag mask,
                        const RequestParams* params);
  Message (*tag_probe_nb)(Worker worker, Tag tag, Tag mask, int remove, Received* what);
  void* (*tag_msg_recv_nbx)(Worker worker, void* data, size_t count, Message message,
                            const RequestParams* params);
  Status (*request_check_status)(void* request);
  void (*request_cancel)(Worker worker, void* request);
  void (*request_free)(void* request);

  // Throws std::invalid_argument, with what was to be done, unless it was.
  void expect(Status status, const char* what) const;

 private:
  const char* (*status_string_)(Status status);
};

}  // namespace perfuse::a2a::ucp
