#include <algorithm>
#include <cstring>

#include "formats/hdf5.h"
#include "formats/hdf5_internal.h"

namespace midstream {

using namespace h5;

namespace {

// Object headers of HDF5's first format cannot hold more; Keras splits its lists of names at the same size.
constexpr size_t kHeaderLimit = 64512;

Handle file_access(bool in_memory, size_t expected) {
  Handle plist = plist_handle(H5Pcreate(H5P_FILE_ACCESS));
  H5Pset_fclose_degree(plist.id(), H5F_CLOSE_STRONG);
  // What h5py does by default: the oldest form that can hold the thing, so that every HDF5 opens it.
  H5Pset_libver_bounds(plist.id(), H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST);
  if (in_memory) H5Pset_fapl_core(plist.id(), std::max<size_t>(size_t{1} << 20, expected / 8), 0);
  return plist;
}

Handle link_creation() {
  Handle plist = plist_handle(H5Pcreate(H5P_LINK_CREATE));
  H5Pset_create_intermediate_group(plist.id(), 1);
  H5Pset_char_encoding(plist.id(), H5T_CSET_UTF8);
  return plist;
}

Handle space_of(const Dims& shape) {
  if (shape.empty()) return space_handle(H5Screate(H5S_SCALAR));
  std::vector<hsize_t> sizes(shape.begin(), shape.end());
  return space_handle(H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr));
}

// bfloat16 as h5py stores ml_dtypes' type: two opaque bytes. Keras tells them apart by the attribute `dtype`.
Handle file_type(DType dtype) {
  if (dtype == DType::String) return variable_string_type();
  if (dtype != DType::BFloat16) return memory_type(dtype);
  Handle type = type_handle(H5Tcreate(H5T_OPAQUE, 2));
  H5Tset_tag(type.id(), "");
  return type;
}

std::vector<const char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<const char*> out;
  for (const std::string& text : texts) out.push_back(text.c_str());
  return out;
}

}  // namespace

struct H5Writer::Impl {
  std::string name = "new HDF5 file";
  Handle file;
  bool in_memory = true;

  ~Impl() {
    Lock lock;
    file.reset();
  }
  std::string where(const std::string& object) const { return name + ": " + object; }
  Handle open_object(const std::string& path) const {
    if (!object_exists(file.id(), path)) throw Error(ErrorKind::Usage, name, "has no object '" + path + "'.");
    Handle out(H5Oopen(file.id(), path.c_str(), link_access()), H5Oclose);
    if (!out.ok()) fail(where(path), "cannot be opened");
    return out;
  }
  Handle new_attribute(hid_t object, const std::string& path, const std::string& attribute, hid_t type, hid_t space);
  void write_fixed(hid_t object, const std::string& path, const std::string& attribute, size_t width,
                   std::span<const std::string> texts);
  bool write_in_place(const std::string& path, const Array& array);
};

H5Writer::H5Writer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
H5Writer::~H5Writer() = default;
H5Writer::H5Writer(H5Writer&&) noexcept = default;
H5Writer& H5Writer::operator=(H5Writer&&) noexcept = default;

H5Writer::H5Writer() : impl_(std::make_unique<Impl>()) {
  Lock lock;
  impl_->file = Handle(H5Fcreate("midstream-new", H5F_ACC_TRUNC, H5P_DEFAULT, file_access(true, 0).id()), H5Fclose);
  if (!impl_->file.ok()) fail(impl_->name, "cannot be created in memory");
}

H5Writer::H5Writer(const H5File& base) : impl_(std::make_unique<Impl>()) {
  Lock lock;
  impl_->name = base.name();
  Bytes image = base.image().bytes;
  Handle access = file_access(true, image.size());
  if (H5Pset_file_image(access.id(), const_cast<std::byte*>(image.data()), image.size()) < 0)
    fail(impl_->name, "cannot be copied");
  impl_->file = Handle(H5Fopen("midstream-edit", H5F_ACC_RDWR, access.id()), H5Fclose);
  if (!impl_->file.ok()) fail(impl_->name, "cannot be opened for a change");
}

H5Writer H5Writer::create_file(const std::string& path) {
  Lock lock;
  auto impl = std::make_unique<Impl>();
  impl->name = path;
  impl->in_memory = false;
  impl->file = Handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, file_access(false, 0).id()), H5Fclose);
  if (!impl->file.ok()) fail(path, "cannot be created");
  return H5Writer(std::move(impl));
}

H5Writer H5Writer::edit_file(const std::string& path) {
  Lock lock;
  auto impl = std::make_unique<Impl>();
  impl->name = path;
  impl->in_memory = false;
  impl->file = Handle(H5Fopen(path.c_str(), H5F_ACC_RDWR, file_access(false, 0).id()), H5Fclose);
  if (!impl->file.ok()) fail(path, "cannot be opened for a change");
  return H5Writer(std::move(impl));
}

bool H5Writer::exists(const std::string& path) const {
  Lock lock;
  return object_exists(impl_->file.id(), normal_path(path));
}

void H5Writer::create_group(const std::string& path) {
  Lock lock;
  std::string p = normal_path(path);
  if (object_exists(impl_->file.id(), p)) {
    if (object_type(impl_->file.id(), p, impl_->where(p)) != H5O_TYPE_GROUP)
      throw Error(ErrorKind::Usage, impl_->where(p), "is a dataset and cannot become a group.");
    return;
  }
  Handle group(H5Gcreate2(impl_->file.id(), p.c_str(), link_creation().id(), H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
  if (!group.ok()) fail(impl_->where(p), "cannot be created as a group");
}

// A dataset of equal type and shape keeps its place, attributes, byte order and compression.
bool H5Writer::Impl::write_in_place(const std::string& path, const Array& array) {
  Handle dataset(H5Oopen(file.id(), path.c_str(), link_access()), H5Oclose);
  if (!dataset.ok() || H5Iget_type(dataset.id()) != H5I_DATASET) return false;
  Handle space = space_handle(H5Dget_space(dataset.id())), type = type_handle(H5Dget_type(dataset.id()));
  if (!space.ok() || !type.ok()) fail(where(path), "its type cannot be read");
  ElementType element = element_type(type.id());
  if (element.dtype != array.dtype() || shape_of(space.id(), where(path)) != array.shape()) return false;
  if (array.dtype() == DType::String && !element.variable_string) return false;
  if (array.size() == 0) return true;
  herr_t status;
  if (array.dtype() == DType::String) {
    std::vector<const char*> texts = pointers_to(array.strings());
    status = H5Dwrite(dataset.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data());
  } else {
    Handle memory = element.direct ? type_handle(H5Tcopy(type.id())) : memory_type(array.dtype());
    status = H5Dwrite(dataset.id(), memory.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, array.bytes());
  }
  if (status < 0) fail(where(path), "cannot be written");
  return true;
}

void H5Writer::write(const std::string& path, const Array& array) {
  Lock lock;
  std::string p = normal_path(path);
  if (object_exists(impl_->file.id(), p)) {
    if (object_type(impl_->file.id(), p, impl_->where(p)) == H5O_TYPE_GROUP)
      throw Error(ErrorKind::Usage, impl_->where(p), "is a group and cannot become a dataset.");
    if (impl_->write_in_place(p, array)) return;
    remove(p);
  }
  bool strings = array.dtype() == DType::String;
  Handle type = file_type(array.dtype());
  Handle space = space_of(array.shape()), plist = plist_handle(H5Pcreate(H5P_DATASET_CREATE));
  H5Pset_obj_track_times(plist.id(), 0);  // as h5py: equal contents, equal file
  // Allocated at once, so that an array without elements is the only one without a place.
  if (!strings) {
    H5Pset_alloc_time(plist.id(), H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(plist.id(), H5D_FILL_TIME_NEVER);
  }
  Handle dataset(
      H5Dcreate2(impl_->file.id(), p.c_str(), type.id(), space.id(), link_creation().id(), plist.id(), H5P_DEFAULT),
      H5Dclose);
  if (!dataset.ok()) fail(impl_->where(p), "cannot be created as a dataset");
  if (array.dtype() == DType::BFloat16) set_attribute(p, "dtype", std::string("bfloat16"));
  if (array.size() == 0) return;
  std::vector<const char*> texts;
  if (strings) texts = pointers_to(array.strings());
  const void* data = strings ? static_cast<const void*>(texts.data()) : array.bytes();
  if (H5Dwrite(dataset.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
    fail(impl_->where(p), "cannot be written");
}

void H5Writer::remove(const std::string& path) {
  Lock lock;
  std::string p = normal_path(path);
  if (H5Ldelete(impl_->file.id(), p.c_str(), link_access()) < 0) fail(impl_->where(p), "cannot be removed");
}

Handle H5Writer::Impl::new_attribute(hid_t object, const std::string& path, const std::string& attribute, hid_t type,
                                     hid_t space) {
  if (H5Aexists(object, attribute.c_str()) > 0 && H5Adelete(object, attribute.c_str()) < 0)
    fail(where(path), "attribute " + attribute + " cannot be replaced");
  Handle out(H5Acreate2(object, attribute.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (!out.ok()) fail(where(path), "attribute " + attribute + " cannot be created");
  return out;
}

void H5Writer::Impl::write_fixed(hid_t object, const std::string& path, const std::string& attribute, size_t width,
                                 std::span<const std::string> texts) {
  std::string buffer(width * texts.size(), '\0');
  for (size_t i = 0; i < texts.size(); ++i) std::memcpy(&buffer[i * width], texts[i].data(), texts[i].size());
  Handle type = type_handle(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.id(), width);
  H5Tset_strpad(type.id(), H5T_STR_NULLPAD);
  Handle space = space_of({static_cast<int64_t>(texts.size())});
  Handle out = new_attribute(object, path, attribute, type.id(), space.id());
  if (H5Awrite(out.id(), type.id(), buffer.data()) < 0)
    fail(where(path), "attribute " + attribute + " cannot be written");
}

void H5Writer::set_attribute(const std::string& object, const std::string& name, const std::string& text) {
  set_attribute(object, name, Array::of_strings({}, {text}));
}

void H5Writer::set_attribute(const std::string& object, const std::string& name,
                             const std::vector<std::string>& texts) {
  Lock lock;
  if (texts.empty()) return set_attribute(object, name, Array::of<double>(DType::Float64, {0}, {}));
  std::string p = normal_path(object);
  size_t width = 1;
  for (const std::string& text : texts) width = std::max(width, text.size());
  if (width > kHeaderLimit)
    throw Error(ErrorKind::Usage, impl_->where(p),
                "attribute " + name + " has a string of " + std::to_string(width) + " bytes; HDF5 allows " +
                    std::to_string(kHeaderLimit) + ".");
  Handle handle = impl_->open_object(p);
  if (H5Aexists(handle.id(), name.c_str()) > 0) H5Adelete(handle.id(), name.c_str());
  for (int i = 0; H5Aexists(handle.id(), (name + std::to_string(i)).c_str()) > 0; ++i)
    H5Adelete(handle.id(), (name + std::to_string(i)).c_str());

  // numpy.array_split's rule: the first (size % chunks) chunks are one longer.
  size_t chunks = 1;
  while ((texts.size() + chunks - 1) / chunks * width > kHeaderLimit) ++chunks;
  if (chunks == 1) return impl_->write_fixed(handle.id(), p, name, width, texts);
  size_t start = 0;
  for (size_t i = 0; i < chunks; ++i) {
    size_t count = texts.size() / chunks + (i < texts.size() % chunks ? 1 : 0);
    impl_->write_fixed(handle.id(), p, name + std::to_string(i), width, std::span(texts).subspan(start, count));
    start += count;
  }
}

void H5Writer::set_attribute(const std::string& object, const std::string& name, const Array& value) {
  Lock lock;
  std::string p = normal_path(object);
  Handle handle = impl_->open_object(p), space = space_of(value.shape());
  bool strings = value.dtype() == DType::String;
  Handle type = file_type(value.dtype());
  Handle out = impl_->new_attribute(handle.id(), p, name, type.id(), space.id());
  if (value.size() == 0) return;
  std::vector<const char*> texts;
  if (strings) texts = pointers_to(value.strings());
  const void* data = strings ? static_cast<const void*>(texts.data()) : value.bytes();
  if (H5Awrite(out.id(), type.id(), data) < 0) fail(impl_->where(p), "attribute " + name + " cannot be written");
}

void H5Writer::remove_attribute(const std::string& object, const std::string& name) {
  Lock lock;
  std::string p = normal_path(object);
  if (H5Adelete(impl_->open_object(p).id(), name.c_str()) < 0)
    fail(impl_->where(p), "attribute " + name + " cannot be removed");
}

std::vector<std::byte> H5Writer::finish() {
  Lock lock;
  if (!impl_->in_memory) throw Error(ErrorKind::Internal, impl_->name, "finish() of a file on disk: close() is meant.");
  if (H5Fflush(impl_->file.id(), H5F_SCOPE_GLOBAL) < 0) fail(impl_->name, "cannot be completed");
  ssize_t size = H5Fget_file_image(impl_->file.id(), nullptr, 0);
  if (size < 0) fail(impl_->name, "cannot be completed");
  std::vector<std::byte> out(static_cast<size_t>(size));
  if (H5Fget_file_image(impl_->file.id(), out.data(), out.size()) < 0) fail(impl_->name, "cannot be completed");
  impl_->file.reset();
  return out;
}

void H5Writer::close() {
  Lock lock;
  if (H5Fflush(impl_->file.id(), H5F_SCOPE_GLOBAL) < 0) fail(impl_->name, "cannot be completed");
  impl_->file.reset();
}

}  // namespace midstream
