// While it lives, the builder appends to another block.
#pragma once

#include "graph/builder.h"

namespace midstream {

class InBlock {
 public:
  InBlock(Builder& b, Block& block) : b_(b), saved_(b.block_) { b.block_ = &block; }
  ~InBlock() { b_.block_ = saved_; }
  InBlock(const InBlock&) = delete;

 private:
  Builder& b_;
  Block* saved_;
};

}  // namespace midstream
