#include "ucp.h"

#include <dlfcn.h>

#include "../native/arguments.h"

namespace perfuse::a2a::ucp {
namespace {

template <class Function>
void find(void* library, const std::string& name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name.c_str()));
  if (!function) refuse("libucp has no " + name);
}

}  // namespace

Library::Library(const std::string& path) {
  // Never closed: it keeps threads and handlers of its own.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) refuse(std::string("libucp cannot be loaded: ") + dlerror());
  void (*get_version)(unsigned* major, unsigned* minor, unsigned* release);
  find(library, "ucp_get_version", get_version);
  unsigned major = 0, minor = 0, release = 0;
  get_version(&major, &minor, &release);
  if (major != kMajor || minor < kMinor) {
    refuse("libucp has version " + std::to_string(major) + "." + std::to_string(minor) +
           "; it must have " + std::to_string(kMajor) + "." + std::to_string(kMinor) +
           " or a later " + std::to_string(kMajor) + ".x");
  }
#define FIND(name) find(library, "ucp_" #name, name)
  FIND(config_read), FIND(config_modify), FIND(config_release), FIND(init_version);
  FIND(cleanup), FIND(worker_create), FIND(worker_destroy), FIND(worker_get_address);
  FIND(worker_release_address), FIND(worker_progress), FIND(worker_get_efd), FIND(worker_arm);
  FIND(ep_create), FIND(ep_close_nbx), FIND(ep_flush_nbx), FIND(tag_send_nbx);
  FIND(tag_recv_nbx), FIND(tag_probe_nb), FIND(tag_msg_recv_nbx);
  FIND(request_check_status), FIND(request_cancel), FIND(request_free);
#undef FIND
  find(library, "ucs_status_string", status_string_);  // of a library that libucp needs
}

void Library::expect(Status status, const char* what) const {
  if (status != Status::OK) refuse(std::string(what) + ": " + status_string_(status));
}

}  // namespace perfuse::a2a::ucp
