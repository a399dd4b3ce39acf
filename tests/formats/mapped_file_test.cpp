#include "formats/mapped_file.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "expected.h"

namespace midstream {
namespace {

using namespace test;

size_t files_in(const TemporaryFolder& folder) {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++n;
  return n;
}

TEST(MappedFile, ReadsAndNamesWhatItCannotOpen) {
  TemporaryFolder folder;
  atomic_write(folder / "a", as_bytes("abc"));
  EXPECT_EQ(map_file(folder / "a").text(), "abc");
  atomic_write(folder / "empty", Bytes());
  EXPECT_EQ(map_file(folder / "empty").size(), 0u);
  std::string error = error_of(ErrorKind::BadFile, [&] { map_file(folder / "absent"); });
  EXPECT_NE(error.find("absent] cannot be opened: No such file"), std::string::npos) << error;
  error_of(ErrorKind::BadFile, [&] { map_file(folder.path().string()); });
}

TEST(MappedFile, ChangesInMemoryStayInMemory) {
  TemporaryFolder folder;
  atomic_write(folder / "a", as_bytes("abc"));
  SharedBytes bytes = map_file(folder / "a");
  const_cast<std::byte*>(bytes.data())[0] = std::byte{'x'};
  EXPECT_EQ(bytes.text(), "xbc");
  EXPECT_EQ(file_text(folder / "a"), "abc");
}

TEST(AtomicWrite, ReplacesWholeFilesAndKeepsTheirMode) {
  TemporaryFolder folder;
  atomic_write(folder / "a", as_bytes("old"));
  ::chmod((folder / "a").c_str(), 0600);
  SharedBytes before = map_file(folder / "a");
  atomic_write(folder / "a", [](FileWriter& out) {
    out.write("n__");
    out.write_at(1, as_bytes("ew"));
    out.zeros(5000);
  });
  EXPECT_EQ(file_text(folder / "a"), "new" + std::string(5000, '\0'));
  EXPECT_EQ(before.text(), "old");  // who had the old file mapped still has it
  struct stat info{};
  ::stat((folder / "a").c_str(), &info);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(AtomicWrite, LeavesTheOldFileWhenTheCheckThrows) {
  TemporaryFolder folder;
  atomic_write(folder / "a", as_bytes("old"));
  std::string seen;
  error_of(ErrorKind::Internal, [&] {
    atomic_write(folder / "a", as_bytes("new"), [&](const std::string& written) {
      seen = file_text(written);
      throw Error(ErrorKind::Internal, "a", "is not what it should be.");
    });
  });
  EXPECT_EQ(seen, "new");
  EXPECT_EQ(file_text(folder / "a"), "old");
  EXPECT_EQ(files_in(folder), 1u);
}

TEST(AtomicWrite, LeavesTheOldFileWhenTheWriterThrows) {
  TemporaryFolder folder;
  atomic_write(folder / "a", as_bytes("old"));
  EXPECT_THROW(atomic_write(folder / "a",
                            [](FileWriter& out) {
                              out.write("half");
                              throw std::runtime_error("stop");
                            }),
               std::runtime_error);
  EXPECT_EQ(file_text(folder / "a"), "old");
  EXPECT_EQ(files_in(folder), 1u);
}

TEST(AtomicWrite, LeavesTheOldFileWhenTheDiskIsFull) {
  TemporaryFolder folder;
  atomic_write(folder / "a", as_bytes("old"));
  // A limit on the file size fails in write() as a full disk does.
  struct rlimit old{}, small{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  small = old;
  small.rlim_cur = 1000;
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string error;
  try {
    atomic_write(folder / "a", [](FileWriter& out) { out.zeros(100000); });
  } catch (const Error& e) {
    error = e.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(error.find("cannot be written"), std::string::npos) << error;
  EXPECT_EQ(file_text(folder / "a"), "old");
  EXPECT_EQ(files_in(folder), 1u);
}

TEST(AtomicWrite, WritesThroughSymbolicLinks) {
  TemporaryFolder folder;
  atomic_write(folder / "a", as_bytes("old"));
  std::filesystem::create_symlink(folder / "a", folder / "link");
  atomic_write(folder / "link", as_bytes("new"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(file_text(folder / "a"), "new");
}

}  // namespace
}  // namespace midstream
