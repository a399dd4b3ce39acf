// The one error type. Every message a user can see is built here, so that all of them read alike:
//   [where] what happened: value seen, value wanted. Next step.
// `where` is a file, layer path or node. Kinds map to Python exception classes; the CLI exits with 1 for all
// kinds but Usage (2).
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace midstream {

enum class ErrorKind {
  Unsupported,  // the file holds an op, layer or option that has no lowering
  BadFile,      // the bytes are not what their format says
  BadData,      // the training or prediction data do not fit the model
  Mismatch,     // two facts of the file contradict each other (config and weights, say)
  Usage,        // the caller asked for something that makes no sense
  Internal,     // a bug in midstream
};

std::string_view to_string(ErrorKind kind);

class Error : public std::runtime_error {
 public:
  // `message` ends with a full stop. `hint` (may be empty) is the next step.
  Error(ErrorKind kind, std::string where, std::string message, std::string hint = {});

  ErrorKind kind() const { return kind_; }
  const std::string& where() const { return where_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }

  // The same error with an outer place put before its own ("model.keras" before "block1/conv").
  Error at(std::string_view outer) const;

 private:
  ErrorKind kind_;
  std::string where_, message_, hint_;
};

}  // namespace midstream
