// Who may look at a member's peers: a call of one side, or one change, which both sides let pass.
#pragma once
#include <unistd.h>

#include "member.h"

namespace perfuse::a2a {

class Member::Turn {
 public:
  Turn(Member& member, Side side) : member_(member), side_(side) {
    if (member.in_use_[side].exchange(true)) {
      refuse(side == ANSWERS
                 ? "another thread is in dispatch_send or combine_receive of this rank"
                 : "another thread is in dispatch_receive or combine_send of this rank");
    }
    while (member.changes_.load()) usleep(20);
    member.sides_[side].lock();
    if (!member.closed_) return;
    leave();
    refuse("this rank is closed");
  }
  ~Turn() { leave(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  void leave() {
    member_.sides_[side_].unlock();
    member_.in_use_[side_].store(false);
  }
  Member& member_;
  Side side_;
};

class Member::Change {
 public:
  explicit Change(Member& member) : member_(member) {
    member.changes_.fetch_add(1);
    for (const Side side : {WORK, ANSWERS}) {
      const bool far = member.wire_ != nullptr;
      ring_always(member.arena_->bell(side),
                  far ? member.wire_->pipe(side) : member.pipe_.number());
      member.sides_[side].lock();
    }
  }
  ~Change() {
    for (const Side side : {ANSWERS, WORK}) member_.sides_[side].unlock();
    member_.changes_.fetch_sub(1);
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  Member& member_;
};

}  // namespace perfuse::a2a
