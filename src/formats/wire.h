// A protobuf message walked field by field, in place: protozero with wire types checked and errors of ours. A field
// whose wire type is not the one asked for is an error, never undefined behaviour.
// Shares the message's bytes; `where` names the message in errors and must outlive the Wire.
#pragma once

#include <protozero/pbf_reader.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "formats/mapped_file.h"

namespace midstream {

class Wire {
 public:
  Wire(SharedBytes message, const std::string& where)
      : message_(std::move(message)), where_(where), reader_(protozero::data_view(as_text_ptr(), message_.size())) {}

  // Goes to the next field; false at the end. Each field must then be taken or skipped.
  bool next() {
    return guarded([&] { return reader_.next(); });
  }
  uint32_t field() const { return reader_.tag(); }
  void skip() {
    guarded([&] { reader_.skip(); });
  }

  // All integer and enum types but sint and fixed ones.
  int64_t integer() {
    want(protozero::pbf_wire_type::varint);
    return guarded([&] { return static_cast<int64_t>(reader_.get_uint64()); });
  }
  int64_t zigzag() {
    want(protozero::pbf_wire_type::varint);
    return guarded([&] { return reader_.get_sint64(); });
  }
  bool boolean() { return integer() != 0; }
  uint32_t fixed32() {
    want(protozero::pbf_wire_type::fixed32);
    return guarded([&] { return reader_.get_fixed32(); });
  }
  float f32() {
    want(protozero::pbf_wire_type::fixed32);
    return guarded([&] { return reader_.get_float(); });
  }
  double f64() {
    want(protozero::pbf_wire_type::fixed64);
    return guarded([&] { return reader_.get_double(); });
  }
  // Strings, bytes, messages.
  SharedBytes bytes() {
    want(protozero::pbf_wire_type::length_delimited);
    auto view = guarded([&] { return reader_.get_view(); });
    return message_.part(static_cast<size_t>(view.data() - as_text_ptr()), view.size());
  }
  std::string text() { return std::string(bytes().text()); }
  Wire message() { return Wire(bytes(), where_); }

  // Repeated numbers, packed or one by one.
  template <class T>
  void integers(std::vector<T>& out) {
    repeated(
        protozero::pbf_wire_type::varint, out, [](auto& r) { return static_cast<T>(r.get_uint64()); },
        [](auto& r) { return r.get_packed_uint64(); });
  }
  void floats(std::vector<float>& out) {
    repeated(
        protozero::pbf_wire_type::fixed32, out, [](auto& r) { return r.get_float(); },
        [](auto& r) { return r.get_packed_float(); });
  }
  void doubles(std::vector<double>& out) {
    repeated(
        protozero::pbf_wire_type::fixed64, out, [](auto& r) { return r.get_double(); },
        [](auto& r) { return r.get_packed_double(); });
  }

  const std::string& where() const { return where_; }
  const SharedBytes& whole() const { return message_; }
  [[noreturn]] void bad() const {
    throw Error(ErrorKind::BadFile, where_, "its protobuf bytes are broken.",
                "The file is damaged or was not completely written.");
  }

 private:
  const char* as_text_ptr() const { return reinterpret_cast<const char*>(message_.data()); }
  void want(protozero::pbf_wire_type type) const {
    if (reader_.wire_type() != type) bad();
  }
  template <class F>
  auto guarded(F f) const -> decltype(f()) {
    try {
      return f();
    } catch (const protozero::exception&) {
      bad();
    }
  }
  template <class T, class One, class Packed>
  void repeated(protozero::pbf_wire_type type, std::vector<T>& out, One one, Packed packed) {
    guarded([&] {
      if (reader_.wire_type() == protozero::pbf_wire_type::length_delimited)
        for (auto value : packed(reader_)) out.push_back(static_cast<T>(value));
      else if (reader_.wire_type() == type)
        out.push_back(one(reader_));
      else
        bad();
    });
  }

  SharedBytes message_;
  const std::string& where_;
  protozero::pbf_reader reader_;
};

// A map entry: key and value of a field that is a protobuf map. Absent parts are their default, empty.
struct WireEntry {
  SharedBytes key, value;
};
inline WireEntry map_entry(Wire& field) {
  WireEntry out;
  Wire entry = field.message();
  while (entry.next()) {
    if (entry.field() == 1)
      out.key = entry.bytes();
    else if (entry.field() == 2)
      out.value = entry.bytes();
    else
      entry.skip();
  }
  return out;
}

}  // namespace midstream
