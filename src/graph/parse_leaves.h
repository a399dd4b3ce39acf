// The part of the parser that reads leaves and their types; parse.cpp reads the rest.
#pragma once

#include <memory>

#include "graph/graph.h"
#include "graph/text.h"

namespace midstream::text {

class LeafParser {
 protected:
  explicit LeafParser(const std::string& text)
      : in_(text), graph_(std::make_unique<Graph>(std::make_shared<Variables>())) {}

  DType dtype();
  ValueInfo type();
  // What stands behind "%name = variable", "training", "constant".
  Value variable();
  Value training();
  Value constant();

  Scanner in_;
  std::unique_ptr<Graph> graph_;

 private:
  using GivenSizes = std::vector<std::pair<size_t, std::array<int64_t, 2>>>;  // axis -> its samples
  void shape(ValueInfo& info, GivenSizes& given);
  void numbers(ValueInfo& info);
  Array elements(const Type& type);
  void element(DType dtype, bool bits, std::byte* to);
};

}  // namespace midstream::text
