// How a wire comes and goes, and how it is waited for.
#include "wire.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "../native/arguments.h"

namespace perfuse::a2a {
namespace {

constexpr std::chrono::milliseconds kNapMin{1}, kNapMax{16};
constexpr int64_t kQuietNs = 100'000'000;

}  // namespace

Wire::Wire(const std::string& library, const std::string& settings, uint64_t token,
           const Geometry& geometry, long rank, uint64_t epoch, std::shared_ptr<Mapping> arena)
    : ucp_(library),
      token_(token),
      geometry_(geometry),
      layout_(geometry),
      rank_(rank),
      epoch_(epoch),
      arena_(std::move(arena)),
      context_(nullptr, ucp_.cleanup),
      worker_(nullptr, ucp_.worker_destroy),
      links_(size_t(geometry.world)) {
  try {
    open(settings);
  } catch (...) {
    end();
    throw;
  }
  worker_thread_ = std::thread([this] { work_on(); });
}

void Wire::open(const std::string& settings) {
  for (auto& pipe : pipes_) {
    if (pipe2(pipe, O_NONBLOCK | O_CLOEXEC) != 0) refuse(std::strerror(errno));
  }
  ucp::Config config = nullptr;
  ucp_.expect(ucp_.config_read(nullptr, nullptr, &config), "UCX's settings");
  const std::unique_ptr<ucp::ConfigOpaque, void (*)(ucp::Config)> read(config, ucp_.config_release);
  for (size_t at = 0; at < settings.size();) {
    const size_t end = std::min(settings.find('\n', at), settings.size());
    const std::string line = settings.substr(at, end - at);
    const size_t equals = std::min(line.find('='), line.size() - 1);
    const std::string name = line.substr(0, equals);
    ucp_.expect(ucp_.config_modify(config, name.c_str(), line.c_str() + equals + 1),
                ("UCX's setting " + line).c_str());
    at = end + 1;
  }
  ucp::ContextParams wanted{};
  wanted.field_mask = ucp::ContextParams::FEATURES;
  wanted.features = ucp::ContextParams::TAG | ucp::ContextParams::WAKEUP;
  ucp::Context context = nullptr;
  ucp_.expect(ucp_.init_version(ucp::kMajor, ucp::kMinor, &wanted, config, &context),
              "UCX cannot start");
  context_.reset(context);
  ucp::WorkerParams how{};
  how.field_mask = ucp::WorkerParams::THREAD_MODE;
  how.thread_mode = ucp::WorkerParams::SERIALIZED;
  ucp::Worker worker = nullptr;
  ucp_.expect(ucp_.worker_create(context, &how, &worker), "UCX has no worker");
  worker_.reset(worker);
  ucp_.expect(ucp_.worker_get_efd(worker, &event_file_), "UCX's worker cannot sleep");
  for (long source = 0; source < geometry_.world; ++source) {
    for (int channel = 0; channel < kChannels; ++channel) {
      slots_.push_back(new_slot(source, channel));
      if (source != rank_) post(*slots_.back());
    }
  }
}

void Wire::end() {
  worker_.reset();
  context_.reset();
  for (auto& pipe : pipes_) {
    for (int& file : pipe) {
      if (file >= 0) ::close(file);
      file = -1;
    }
  }
  ending_ = true;
}

Wire::~Wire() { close(); }

std::string Wire::address() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (ending_) refuse("this rank is closed");
  void* data = nullptr;
  size_t length = 0;
  ucp_.expect(ucp_.worker_get_address(worker_.get(), &data, &length), "UCX has no address");
  std::string found(static_cast<char*>(data), length);
  ucp_.worker_release_address(worker_.get(), data);
  return found;
}

void Wire::sleep(Side side, int64_t nanoseconds) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    // Not yet: there is something to do.
    if (ucp_.worker_arm(worker_.get()) != ucp::Status::OK) return;
  }
  pollfd files[] = {{event_file_, POLLIN, 0}, {pipes_[side][0], POLLIN, 0}};
  const timespec time{time_t(nanoseconds / 1'000'000'000), long(nanoseconds % 1'000'000'000)};
  if (ppoll(files, 2, &time, nullptr) <= 0 || !files[1].revents) return;
  char bytes[64];
  if (read(pipes_[side][0], bytes, sizeof bytes) < 0) return;
}

void Wire::work_on() {
  std::unique_lock<std::mutex> lock(mutex_);
  auto nap = kNapMin;
  while (!ending_) {
    if (!restless_) {
      nap = kNapMin;
      sent_.wait(lock);
      continue;
    }
    const uint64_t before = steps_;
    sent_.wait_for(lock, nap);
    if (steps_ == before) step();
    const bool quiet = now_ns() - sent_ns_ >= kQuietNs;
    nap = quiet ? std::min(2 * nap, kNapMax) : kNapMin;
    if (quiet && !ending_ && finished() && !flush()) restless_ = false;
  }
}

void Wire::close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (ending_) return;
    for (const auto& link : links_) {
      if (link && link->life && *link->life == Life::LIVING) say(*link, GONE);
    }
    flush();
    const int64_t until = now_ns() + kFarewellNs;
    for (; !finished() && now_ns() < until; usleep(kLookUs)) step();
  }
  for (size_t rank = 0; rank < links_.size(); ++rank) {
    if (const auto link = links_[rank]) disconnect(*link);
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;  // nothing is posted again
    for (const auto& slot : slots_) {
      if (slot->request && !slot->done) ucp_.request_cancel(worker_.get(), slot->request);
    }
    while (!came_.empty()) take_all();
    end();
    sent_.notify_one();
  }
  worker_thread_.join();
}

}  // namespace perfuse::a2a
