// How links come and go, and how parcels leave.
#include <unistd.h>

#include <algorithm>

#include "../native/arguments.h"
#include "wire.h"

namespace perfuse::a2a {
namespace {

const ucp::RequestParams kPlain{};

}  // namespace

std::shared_ptr<Link> Wire::connect(long rank, uint64_t epoch, uint64_t token,
                                    const std::string& address, std::shared_ptr<Mapping> image,
                                    std::atomic<Life>& life) {
  auto link = std::make_shared<Link>();
  link->wire = this, link->rank = rank, link->epoch = epoch, link->token = token;
  link->image = std::move(image);
  link->life = &life;
  ucp::EndpointParams to{};
  to.field_mask = ucp::EndpointParams::ADDRESS | ucp::EndpointParams::ERROR_MODE |
                  ucp::EndpointParams::ERROR_HANDLER;
  to.address = address.data();
  to.error_mode = ucp::EndpointParams::PEER;
  to.on_error = on_error;
  to.argument = link.get();
  const std::lock_guard<std::mutex> lock(mutex_);
  ucp_.expect(ucp_.ep_create(worker_.get(), &to, &link->endpoint), "UCX does not reach it");
  links_[size_t(rank)] = link;
  // The connection stands before anything is sent, so that its end is noticed.
  say(*link, HERE);
  return link;
}

// In UCX's own call: nothing of UCX is called here.
void Wire::on_error(void* link, ucp::Endpoint, ucp::Status) {
  const Link& lost = *static_cast<Link*>(link);
  if (lost.life) lose(*lost.life, Life::DEAD);
  lost.wire->died_.push_back(lost.rank);
}

void Wire::cut(Link& link) {
  if (link.life) lose(*link.life, Life::CUT_OFF);
  changed_ = true;
}

void Wire::disconnect(Link& link) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!link.endpoint) return;
  ucp::RequestParams at_once{};
  at_once.mask = ucp::RequestParams::FLAGS;
  at_once.flags = ucp::RequestParams::FORCE;
  void* closing = ucp_.ep_close_nbx(link.endpoint, &at_once);
  link.endpoint = nullptr, link.life = nullptr;
  const int64_t until = now_ns() + kFarewellNs;
  while (ucp::is_request(closing) && now_ns() < until &&
         ucp_.request_check_status(closing) == ucp::Status::INPROGRESS) {
    step();
    usleep(kLookUs);
  }
  if (ucp::is_request(closing)) ucp_.request_free(closing);
  bool busy = false;
  for (void*& sending : link.sending) {
    const auto place = std::find(outgoing_.begin(), outgoing_.end(), &sending);
    if (place == outgoing_.end()) continue;
    busy = true;
    ucp_.request_free(sending);
    outgoing_.erase(place);
  }
  std::shared_ptr<Link>& place = links_[size_t(link.rank)];
  if (place.get() != &link) return;
  if (busy) closing_.push_back(place);
  place.reset();
  renew(link.rank);
}

uint64_t Wire::tag(uint64_t token, int channel, long source) const {
  return token << 13 | uint64_t(channel) << 10 | uint64_t(source);
}

// What nobody else asks for.
void Wire::keep(void* given, Link& link) {
  if (ucp::is_error(given) && link.life) lose(*link.life, Life::DEAD);
  if (ucp::is_request(given)) pending_.push_back(given);
}

void Wire::say(Link& link, Word word) {
  uint64_t* said = link.words[word == GONE];
  said[0] = epoch_, said[1] = word;
  const uint64_t to = tag(link.token, kWordChannel, rank_);
  keep(ucp_.tag_send_nbx(link.endpoint, said, sizeof link.words[0], to, &kPlain), link);
  sent_to(link);
}

void Wire::sent_to(Link& link) {
  link.unsure = true;
  sent_ns_ = now_ns();
  if (restless_) return;
  restless_ = true;
  sent_.notify_one();
}

// Whether there was anything to ask.
bool Wire::flush() {
  bool any = false;
  for (const auto& link : links_) {
    if (!link || !link->unsure || !link->endpoint) continue;
    link->unsure = false;
    keep(ucp_.ep_flush_nbx(link->endpoint, &kPlain), *link);
    any = true;
  }
  return any;
}

void Wire::send(Link& link, Side side, uint64_t round, long rows) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!link.endpoint || !link.life || *link.life != Life::LIVING) return;
  const int channel = 2 * side + int(round & 1);
  void*& sending = link.sending[channel];
  // The one before has been answered: it is there, and this rank has heard so.
  if (sending) step();
  if (sending) return cut(link);
  char* region = link.image->at<char>(side == WORK ? layout_.work(round, rank_)
                                                   : layout_.answer(round, rank_));
  Parcel& parcel = link.parcels[channel] = Parcel(layout_, geometry_, side, region, rows);
  ucp::RequestParams params{};
  params.mask = ucp::RequestParams::DATATYPE;
  params.datatype = ucp::kPieces;
  const uint64_t to = tag(link.token, channel, rank_);
  void* given = ucp_.tag_send_nbx(link.endpoint, parcel.pieces, size_t(parcel.num_pieces), to,
                                  &params);
  if (ucp::is_error(given)) return lose(*link.life, Life::DEAD);
  sending = given;
  if (sending) outgoing_.push_back(&sending);
  sent_to(link);
}

}  // namespace perfuse::a2a
