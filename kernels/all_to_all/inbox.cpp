// What comes to a wire: checked, and copied into this rank's arena.
#include <algorithm>

#include "../native/arguments.h"
#include "wire.h"

namespace perfuse::a2a {
namespace {

constexpr size_t kWordBytes = 16;
// Of a turn; then the caller looks at what has come.
constexpr size_t kMostAtOnce = 256;
const ucp::RequestParams kPlain{};

Side side_of(int channel) { return channel < 2 ? WORK : ANSWERS; }

}  // namespace

std::unique_ptr<Wire::Slot> Wire::new_slot(long source, int channel) {
  auto slot = std::make_unique<Slot>();
  slot->wire = this, slot->source = source, slot->channel = channel;
  slot->room = channel == kWordChannel ? kWordBytes
                                       : parcel_bytes_max(layout_, geometry_, side_of(channel));
  slot->buffer = std::make_unique<Mapping>(long(slot->room));
  return slot;
}

void Wire::post(Slot& slot) {
  ucp::RequestParams params{};
  params.mask = ucp::RequestParams::CALLBACK | ucp::RequestParams::USER_DATA |
                ucp::RequestParams::ALWAYS_CALL;
  params.on_received = on_received;
  params.user_data = &slot;
  slot.done = false;
  void* given = ucp_.tag_recv_nbx(worker_.get(), slot.buffer->at<char>(0), slot.room,
                                  tag(token_, slot.channel, slot.source), ~uint64_t{0}, &params);
  slot.request = ucp::is_request(given) ? given : nullptr;
  if (slot.request || !links_[size_t(slot.source)]) return;
  cut(*links_[size_t(slot.source)]);  // no memory: nothing more is heard of it
}

// In UCX's own call, maybe the one that posts it.
void Wire::on_received(void*, ucp::Status status, const ucp::Received* what, void* user_data) {
  Slot& slot = *static_cast<Slot*>(user_data);
  slot.done = true;
  slot.status = status;
  slot.length = status == ucp::Status::OK ? what->length : 0;
  slot.wire->came_.push_back(&slot);
}

// False: it makes no sense, and its writer is one who knows the tag.
bool Wire::hear(const Slot& slot, Link* link) {
  const auto* said = slot.buffer->at<uint64_t>(0);
  if (slot.length != kWordBytes || (said[1] != HERE && said[1] != GONE)) return false;
  if (link && link->life && said[1] == GONE && said[0] == link->epoch) {
    lose(*link->life, Life::DEAD);
    changed_ = true;
  }
  return true;
}

bool Wire::take_parcel(const Slot& slot, const Link* link) {
  const char* parcel = slot.buffer->at<char>(0);
  if (slot.length < sizeof(WorkControl)) return false;
  const uint64_t round = parcel_round(parcel), epoch = round >> kRoundBits;
  if (epoch == 0 || (round & 1) != uint64_t(slot.channel & 1)) return false;
  if (link && epoch < link->epoch) return true;  // a predecessor's
  const Side side = side_of(slot.channel);
  char* region = arena_->at<char>(side == WORK ? layout_.work(round, slot.source)
                                               : layout_.answer(round, slot.source));
  return unpack(layout_, geometry_, side, parcel, slot.length, region);
}

void Wire::take(const Slot& slot) {
  Link* link = links_[size_t(slot.source)].get();
  bool sound = slot.status != ucp::Status::TRUNCATED;
  if (slot.status == ucp::Status::OK) {
    sound = slot.channel == kWordChannel ? hear(slot, link) : take_parcel(slot, link);
  }
  if (!sound && link) cut(*link);
}

void Wire::take_all() {
  size_t taken = 0;
  for (; taken < came_.size() && taken < kMostAtOnce; ++taken) {
    Slot& slot = *came_[taken];
    take(slot);
    if (slot.request) ucp_.request_free(slot.request);
    slot.request = nullptr;
    if (!ending_ && !slot.stuck) post(slot);
  }
  came_.erase(came_.begin(), came_.begin() + long(taken));
}

// A message of one who has died may be there in part, and would keep its place for ever.
void Wire::renew(long source) {
  for (int channel = 0; channel < kChannels; ++channel) {
    std::unique_ptr<Slot>& slot = slots_[size_t(source * kChannels + channel)];
    if (!slot->request || slot->done) continue;
    ucp_.request_cancel(worker_.get(), slot->request);
    if (slot->done) continue;
    slot->stuck = true;
    stuck_.push_back(std::move(slot));
    slot = new_slot(source, channel);
    post(*slot);
  }
}

// A stranger's, or of an incarnation of this rank before: thrown away, whatever it is.
void Wire::sweep() {
  ucp::Received what{};
  for (size_t i = 0; i < kMostAtOnce && came_.empty(); ++i) {
    const ucp::Message message = ucp_.tag_probe_nb(worker_.get(), 0, 0, 1, &what);
    if (!message) return;
    char nothing = 0;
    void* given = ucp_.tag_msg_recv_nbx(worker_.get(), &nothing, 0, message, &kPlain);
    if (ucp::is_request(given)) pending_.push_back(given);
  }
}

void Wire::settle() {
  size_t left = 0;
  for (void* request : pending_) {
    if (ucp_.request_check_status(request) == ucp::Status::INPROGRESS) {
      pending_[left++] = request;
    } else {
      ucp_.request_free(request);
    }
  }
  pending_.resize(left);
  const auto done = [&](void** sending) {
    if (ucp_.request_check_status(*sending) == ucp::Status::INPROGRESS) return false;
    ucp_.request_free(*sending);
    *sending = nullptr;
    return true;
  };
  outgoing_.erase(std::remove_if(outgoing_.begin(), outgoing_.end(), done), outgoing_.end());
}

// Under the mutex.
void Wire::step() {
  if (ending_) return;
  ++steps_;
  bool any = false;
  for (size_t i = 0; i < kMostAtOnce && ucp_.worker_progress(worker_.get()); ++i) any = true;
  any |= changed_ || !died_.empty();
  for (const long source : died_) renew(source);
  died_.clear();
  take_all();
  sweep();
  settle();
  if (!any && !changed_) return;
  changed_ = false;
  for (const Side side : {WORK, ANSWERS}) wake_loop(arena_->bell(side), pipe(side));
}

void Wire::progress() {
  const std::lock_guard<std::mutex> lock(mutex_);
  step();
}

}  // namespace perfuse::a2a
