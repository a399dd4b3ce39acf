#include "formats/hdf5.h"

#include <hdf5_hl.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "formats/checks.h"
#include "formats/hdf5_internal.h"

namespace midstream {

using namespace h5;

struct H5File::Impl {
  std::string name;
  SharedBytes image;
  Handle file;

  ~Impl() {
    Lock lock;
    file.reset();
  }
  std::string where(const std::string& object) const { return name + ": " + object; }
  std::string where(const std::string& object, const std::string& attribute) const {
    return where(object) + ", attribute " + attribute;
  }
  Handle open_dataset(const std::string& path) const;
  Handle open_object(const std::string& path) const;
  // Refuses to allocate what a file of this size can hardly hold (deflate's limit is 1032:1).
  void check_size(const std::string& where, const Dims& shape, size_t item) const {
    uint64_t bytes = checked_nbytes(where, shape, item);
    if (bytes > image.size() * 1032 + (1 << 20))
      throw Error(ErrorKind::BadFile, where,
                  "declares " + std::to_string(bytes) + " bytes in a file of " + std::to_string(image.size()) + ".",
                  "The file is damaged.");
  }
};

namespace {

// A dataset or an attribute: both have a space, a type, and a way to be read.
struct Source {
  hid_t id;
  bool is_attribute;
  Handle space() const { return space_handle(is_attribute ? H5Aget_space(id) : H5Dget_space(id)); }
  Handle type() const { return type_handle(is_attribute ? H5Aget_type(id) : H5Dget_type(id)); }
  herr_t read(hid_t memory, void* to) const {
    return is_attribute ? H5Aread(id, memory, to) : H5Dread(id, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, to);
  }
};

std::string trimmed(const char* text, size_t size, H5T_str_t padding) {
  if (padding == H5T_STR_NULLTERM) return {text, strnlen(text, size)};
  char pad = padding == H5T_STR_SPACEPAD ? ' ' : '\0';
  while (size > 0 && text[size - 1] == pad) --size;
  return {text, size};
}

std::vector<std::string> read_strings(const Source& source, hid_t type, hid_t space, const ElementType& element,
                                      size_t count, const std::string& where) {
  std::vector<std::string> out(count);
  if (count == 0) return out;
  if (!element.variable_string) {
    std::vector<char> buffer(count * element.size);
    if (source.read(type, buffer.data()) < 0) fail(where, "cannot be read");
    for (size_t i = 0; i < count; ++i) out[i] = trimmed(&buffer[i * element.size], element.size, element.padding);
    return out;
  }
  std::vector<char*> pointers(count, nullptr);
  if (source.read(type, pointers.data()) < 0) fail(where, "cannot be read");
  for (size_t i = 0; i < count; ++i)
    if (pointers[i]) out[i] = pointers[i];
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
  return out;
}

// Reads by copying, with whatever conversion the file needs.
Array read_copy(const Source& source, hid_t type, hid_t space, const ElementType& element, Dims shape,
                const std::string& where) {
  size_t count = static_cast<size_t>(num_elements(shape));
  if (*element.dtype == DType::String)
    return Array::of_strings(std::move(shape), read_strings(source, type, space, element, count, where));
  std::byte* bytes = nullptr;
  Array out = Array::allocate(*element.dtype, std::move(shape), &bytes);
  if (count == 0) return out;
  // `direct` types are read as they are: HDF5 knows no conversion for opaque ones and needs none for the others.
  Handle memory = element.direct ? type_handle(H5Tcopy(type)) : memory_type(*element.dtype);
  if (source.read(memory.id(), bytes) < 0) fail(where, "cannot be read");
  return out;
}

[[noreturn]] void no_array(const std::string& where) {
  throw Error(ErrorKind::BadFile, where,
              "holds elements of a type that has no array (compound, reference or the like).",
              "Models do not use such types; this may be another kind of HDF5 file.");
}

// Contiguous, inside this file, unfiltered.
bool is_plain(hid_t dataset, const std::string& where) {
  Handle plist = plist_handle(H5Dget_create_plist(dataset));
  if (!plist.ok()) fail(where, "its layout cannot be read");
  H5D_layout_t layout = H5Pget_layout(plist.id());
  if (layout == H5D_VIRTUAL || H5Pget_external_count(plist.id()) > 0)
    throw Error(ErrorKind::BadFile, where, "keeps its data in other files.", "A model file must hold its own weights.");
  return layout == H5D_CONTIGUOUS;
}

std::optional<ByteRange> direct_range(hid_t dataset, uint64_t bytes, const SharedBytes& image,
                                      const std::string& where) {
  haddr_t offset = H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF) return std::nullopt;  // never written: all fill value
  if (offset > image.size() || bytes > image.size() - offset)
    throw Error(ErrorKind::BadFile, where, "its data lie outside of the file.", "The file was not completely written.");
  return ByteRange{offset, bytes};
}

}  // namespace

Handle H5File::Impl::open_dataset(const std::string& path) const {
  if (!object_exists(file.id(), path)) throw Error(ErrorKind::BadFile, name, "has no dataset '" + path + "'.");
  Handle out(H5Oopen(file.id(), path.c_str(), link_access()), H5Oclose);
  if (!out.ok()) fail(where(path), "cannot be opened");
  if (H5Iget_type(out.id()) != H5I_DATASET) throw Error(ErrorKind::BadFile, where(path), "is not a dataset.");
  return out;
}

Handle H5File::Impl::open_object(const std::string& path) const {
  if (!object_exists(file.id(), path)) throw Error(ErrorKind::BadFile, name, "has no object '" + path + "'.");
  Handle out(H5Oopen(file.id(), path.c_str(), link_access()), H5Oclose);
  if (!out.ok()) fail(where(path), "cannot be opened");
  return out;
}

H5File H5File::open(const std::string& path) {
  H5File file(path, map_file(path));
  file.probe();
  return file;
}

H5File::H5File(std::string name, SharedBytes image) : impl_(std::make_shared<Impl>()) {
  impl_->name = std::move(name);
  impl_->image = std::move(image);
  if (!looks_like(impl_->image.bytes))
    throw Error(ErrorKind::BadFile, impl_->name, "is not an HDF5 file: its signature is missing.");
  Lock lock;
  // The library takes the buffer as it is; it is only read, so the const is honest.
  impl_->file = Handle(H5LTopen_file_image(const_cast<std::byte*>(impl_->image.data()), impl_->image.size(),
                                           H5LT_FILE_IMAGE_DONT_COPY | H5LT_FILE_IMAGE_DONT_RELEASE),
                       H5Fclose);
  if (!impl_->file.ok()) fail(impl_->name, "cannot be opened as HDF5");
}

bool H5File::looks_like(Bytes bytes) {
  static constexpr std::string_view kSignature("\x89HDF\r\n\x1a\n", 8);
  for (size_t at = 0; at + kSignature.size() <= bytes.size(); at = at ? 2 * at : 512)
    if (as_text(bytes.subspan(at, kSignature.size())) == kSignature) return true;
  return false;
}

const std::string& H5File::name() const { return impl_->name; }
const SharedBytes& H5File::image() const { return impl_->image; }

bool H5File::exists(const std::string& path) const {
  Lock lock;
  return object_exists(impl_->file.id(), normal_path(path));
}

bool H5File::is_group(const std::string& path) const {
  Lock lock;
  std::string p = normal_path(path);
  return object_exists(impl_->file.id(), p) && object_type(impl_->file.id(), p, impl_->where(p)) == H5O_TYPE_GROUP;
}

bool H5File::is_dataset(const std::string& path) const {
  Lock lock;
  std::string p = normal_path(path);
  return object_exists(impl_->file.id(), p) && object_type(impl_->file.id(), p, impl_->where(p)) == H5O_TYPE_DATASET;
}

static std::vector<std::string> link_names(hid_t group, H5_index_t index, const std::string& where) {
  std::vector<std::string> names;
  auto add = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  if (H5Literate(group, index, H5_ITER_INC, nullptr, add, &names) < 0) fail(where, "cannot be listed");
  return names;
}

std::vector<std::string> H5File::children(const std::string& group) const {
  Lock lock;
  std::string p = normal_path(group);
  Handle object = impl_->open_object(p);
  if (H5Iget_type(object.id()) != H5I_GROUP) throw Error(ErrorKind::BadFile, impl_->where(p), "is not a group.");
  return link_names(object.id(), H5_INDEX_NAME, impl_->where(p));
}

std::vector<std::string> H5File::children_as_created(const std::string& group) const {
  Lock lock;
  std::string p = normal_path(group);
  Handle object = impl_->open_object(p);
  if (H5Iget_type(object.id()) != H5I_GROUP) throw Error(ErrorKind::BadFile, impl_->where(p), "is not a group.");
  unsigned tracked = 0;
  Handle plist = plist_handle(H5Gget_create_plist(object.id()));
  if (!plist.ok() || H5Pget_link_creation_order(plist.id(), &tracked) < 0) tracked = 0;
  return link_names(object.id(), tracked ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME, impl_->where(p));
}

std::vector<std::string> H5File::groups(const std::string& group) const {
  std::vector<std::string> names = children(group);
  std::erase_if(names, [&](const std::string& name) { return !is_group(group + "/" + name); });
  return names;
}

std::vector<std::string> H5File::datasets(const std::string& group) const {
  std::vector<std::string> names = children(group);
  std::erase_if(names, [&](const std::string& name) { return !is_dataset(group + "/" + name); });
  return names;
}

std::vector<std::string> H5File::all_datasets(const std::string& group) const {
  Lock lock;
  std::vector<std::string> out;
  std::set<haddr_t> open;  // groups between here and the root: links may form circles
  auto walk = [&](auto& self, const std::string& path) -> void {
    H5O_info_t info;
    if (H5Oget_info_by_name2(impl_->file.id(), path.c_str(), &info, H5O_INFO_BASIC, link_access()) < 0)
      fail(impl_->where(path), "cannot be looked up");
    if (info.type == H5O_TYPE_DATASET) out.push_back(path);
    if (info.type != H5O_TYPE_GROUP || !open.insert(info.addr).second) return;
    if (open.size() > 200) throw Error(ErrorKind::BadFile, impl_->where(path), "groups are nested more than 200 deep.");
    for (const std::string& name : children(path)) {
      std::string child = (path == "/" ? "" : path) + "/" + name;
      if (object_exists(impl_->file.id(), child)) self(self, child);
    }
    open.erase(info.addr);
  };
  walk(walk, normal_path(group));
  return out;
}

std::vector<std::string> H5File::attribute_names(const std::string& object) const {
  Lock lock;
  std::string p = normal_path(object);
  Handle handle = impl_->open_object(p);
  std::vector<std::string> names;
  auto add = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  if (H5Aiterate2(handle.id(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names) < 0)
    fail(impl_->where(p), "its attributes cannot be listed");
  return names;
}

bool H5File::has_attribute(const std::string& object, const std::string& name) const {
  Lock lock;
  std::string p = normal_path(object);
  if (!object_exists(impl_->file.id(), p)) return false;
  return H5Aexists(impl_->open_object(p).id(), name.c_str()) > 0;
}

std::optional<Array> H5File::attribute(const std::string& object, const std::string& name) const {
  Lock lock;
  std::string p = normal_path(object);
  if (!object_exists(impl_->file.id(), p)) return std::nullopt;
  Handle handle = impl_->open_object(p);
  if (H5Aexists(handle.id(), name.c_str()) <= 0) return std::nullopt;
  std::string where = impl_->where(p, name);
  Handle attribute(H5Aopen(handle.id(), name.c_str(), H5P_DEFAULT), H5Aclose);
  Source source{attribute.id(), true};
  if (!attribute.ok()) fail(where, "cannot be opened");
  Handle space = source.space(), type = source.type();
  if (!space.ok() || !type.ok()) fail(where, "its type cannot be read");
  Dims shape = shape_of(space.id(), where);
  ElementType element = element_type(type.id());
  if (!element.dtype) no_array(where);
  impl_->check_size(where, shape, element.size);
  if (H5Sget_simple_extent_type(space.id()) == H5S_NULL) {
    if (*element.dtype == DType::String) return Array::of_strings({0}, {});
    std::byte* unused = nullptr;
    return Array::allocate(*element.dtype, {0}, &unused);
  }
  return read_copy(source, type.id(), space.id(), element, std::move(shape), where);
}

std::optional<std::string> H5File::string_attribute(const std::string& object, const std::string& name) const {
  auto value = attribute(object, name);
  if (!value) return std::nullopt;
  if (value->dtype() != DType::String || value->size() != 1)
    throw Error(ErrorKind::BadFile, impl_->where(normal_path(object), name),
                "is " + std::string(to_string(value->dtype())) + " " + to_string(value->shape()) + ", not one string.");
  return value->strings()[0];
}

std::optional<std::vector<std::string>> H5File::strings_attribute(const std::string& object,
                                                                  const std::string& name) const {
  auto strings = [&](const std::string& attribute_name) -> std::optional<std::vector<std::string>> {
    auto value = attribute(object, attribute_name);
    if (!value) return std::nullopt;
    if (value->size() == 0) return std::vector<std::string>{};  // h5py writes [] as an empty float64 array
    if (value->dtype() != DType::String)
      throw Error(ErrorKind::BadFile, impl_->where(normal_path(object), attribute_name),
                  "is " + std::string(to_string(value->dtype())) + " " + to_string(value->shape()) +
                      ", not a list of strings.");
    return value->strings();
  };
  if (auto whole = strings(name)) return whole;
  std::optional<std::vector<std::string>> out;
  for (int chunk = 0;; ++chunk) {
    auto part = strings(name + std::to_string(chunk));
    if (!part) return out;
    if (!out) out.emplace();
    out->insert(out->end(), part->begin(), part->end());
  }
}

std::optional<int64_t> H5File::int_attribute(const std::string& object, const std::string& name) const {
  auto value = attribute(object, name);
  if (!value) return std::nullopt;
  if (value->size() != 1 || (!is_integral(value->dtype()) && value->dtype() != DType::Bool))
    throw Error(ErrorKind::BadFile, impl_->where(normal_path(object), name), "is not one integer.");
  return value->to_int64()[0];
}

std::optional<double> H5File::double_attribute(const std::string& object, const std::string& name) const {
  auto value = attribute(object, name);
  if (!value) return std::nullopt;
  if (value->size() != 1 || (!is_integral(value->dtype()) && !is_floating(value->dtype())))
    throw Error(ErrorKind::BadFile, impl_->where(normal_path(object), name), "is not one number.");
  return value->to_double()[0];
}

H5DatasetInfo H5File::info(const std::string& dataset) const {
  Lock lock;
  std::string p = normal_path(dataset), where = impl_->where(p);
  Handle handle = impl_->open_dataset(p);
  Source source{handle.id(), false};
  Handle space = source.space(), type = source.type();
  if (!space.ok() || !type.ok()) fail(where, "its type cannot be read");
  return {shape_of(space.id(), where), element_type(type.id()).dtype, is_plain(handle.id(), where)};
}

std::optional<ByteRange> H5File::location(const std::string& dataset) const {
  Lock lock;
  std::string p = normal_path(dataset), where = impl_->where(p);
  Handle handle = impl_->open_dataset(p);
  Source source{handle.id(), false};
  Handle space = source.space(), type = source.type();
  if (!space.ok() || !type.ok()) fail(where, "its type cannot be read");
  ElementType element = element_type(type.id());
  if (!element.dtype || !element.direct || !is_plain(handle.id(), where)) return std::nullopt;
  uint64_t bytes = static_cast<uint64_t>(num_elements(shape_of(space.id(), where))) * element.size;
  return direct_range(handle.id(), bytes, impl_->image, where);
}

Array H5File::read(const std::string& dataset) const {
  Lock lock;
  std::string p = normal_path(dataset), where = impl_->where(p);
  Handle handle = impl_->open_dataset(p);
  Source source{handle.id(), false};
  Handle space = source.space(), type = source.type();
  if (!space.ok() || !type.ok()) fail(where, "its type cannot be read");
  Dims shape = shape_of(space.id(), where);
  ElementType element = element_type(type.id());
  if (!element.dtype) no_array(where);
  bool plain = is_plain(handle.id(), where);
  if (plain && element.direct) {
    uint64_t bytes = static_cast<uint64_t>(num_elements(shape)) * element.size;
    if (auto range = direct_range(handle.id(), bytes, impl_->image, where))
      return Array(*element.dtype, std::move(shape), impl_->image.owner, impl_->image.data() + range->offset);
  }
  impl_->check_size(where, shape, element.size);
  if (H5Sget_simple_extent_type(space.id()) == H5S_NULL)
    throw Error(ErrorKind::BadFile, where, "is an empty dataset without a shape.");
  return read_copy(source, type.id(), space.id(), element, std::move(shape), where);
}

}  // namespace midstream
