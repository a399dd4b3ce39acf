#include "formats/zip.h"

#include <cstring>

#include "expected.h"

namespace midstream {
namespace {

using namespace test;

// "name=contents" of all members, checksums verified.
std::vector<std::string> listing(const ZipFile& zip) {
  std::vector<std::string> out;
  for (const ZipMember& m : zip.members()) {
    zip.verify(m.name);
    out.push_back(m.name + "=" + std::string(zip.read(m.name).text()));
  }
  return out;
}

// The bytes of a zip with something changed; the map's key is the place.
SharedBytes changed(const std::string& path, size_t at, std::string_view bytes) {
  std::string text = file_text(path);
  text.replace(at, bytes.size(), bytes);
  return share(text);
}

TEST(Zip, ReadsWhatPythonWrote) {
  ZipFile zip = ZipFile::open(kData + "plain.zip");
  std::string repeated;
  for (int i = 0; i < 500; ++i) repeated += "hello ";
  EXPECT_EQ(zip.read("stored.txt").text(), "hello stored");
  EXPECT_EQ(zip.read("deflated.txt").text(), repeated);
  EXPECT_EQ(zip.read("forced64.bin").text(), "0123456789");
  EXPECT_EQ(zip.read("folder/ünicode.bin").size(), 256u);
  EXPECT_EQ(zip.read("empty").size(), 0u);
  EXPECT_EQ(zip.members().size(), 5u);
  EXPECT_EQ(listing(ZipFile::open(kData + "streamed.zip"))[0], "a.txt=streamed a");
}

TEST(Zip, StoredMembersAreNotCopied) {
  ZipFile zip = ZipFile::open(kData + "plain.zip");
  EXPECT_EQ(zip.read("stored.txt").data(), zip.bytes().data() + zip.find("stored.txt")->offset);
}

TEST(Zip, WritesDeterministicallyAndAligned) {
  TemporaryFolder folder;
  std::vector<std::pair<std::string, Bytes>> members{
      {"b", as_bytes("second")}, {"a/ü", as_bytes("first")}, {"empty", Bytes()}};
  write_zip(folder / "1.zip", members);
  write_zip(folder / "2.zip", members);
  EXPECT_EQ(file_text(folder / "1.zip"), file_text(folder / "2.zip"));
  ZipFile zip = ZipFile::open(folder / "1.zip");
  EXPECT_EQ(listing(zip), (std::vector<std::string>{"b=second", "a/ü=first", "empty="}));
  for (const ZipMember& m : zip.members()) EXPECT_EQ(m.offset % 64, 0u);
}

TEST(Zip, PatchChangesTheBytesAndTheChecksumsAlone) {
  TemporaryFolder folder;
  ZipEdit edit(ZipFile::open(kData + "plain.zip"));
  edit.patch("stored.txt", 6, as_bytes("PA"));
  edit.patch("stored.txt", 0, as_bytes("H"));
  edit.write(folder / "p.zip");
  std::string before = file_text(kData + "plain.zip"), after = file_text(folder / "p.zip");
  EXPECT_EQ(before.size(), after.size());
  size_t differing = 0;
  for (size_t i = 0; i < after.size(); ++i) differing += before[i] != after[i];
  EXPECT_LE(differing, 3u + 8u);
  EXPECT_EQ(listing(ZipFile::open(folder / "p.zip"))[0], "stored.txt=Hello PAored");
}

TEST(Zip, ReplaceAddAndRemoveKeepTheOthers) {
  TemporaryFolder folder;
  ZipEdit edit(ZipFile::open(kData + "plain.zip"));
  edit.replace("stored.txt", as_bytes("a longer text than before"));
  edit.replace("new", as_bytes("added"));
  edit.remove("empty");
  edit.write(folder / "r.zip");
  ZipFile source = ZipFile::open(kData + "plain.zip"), zip = ZipFile::open(folder / "r.zip");
  EXPECT_EQ(zip.members().size(), 5u);
  EXPECT_EQ(zip.read("stored.txt").text(), "a longer text than before");
  EXPECT_EQ(zip.read("new").text(), "added");
  EXPECT_FALSE(zip.contains("empty"));
  for (const char* name : {"deflated.txt", "forced64.bin", "folder/ünicode.bin"})
    EXPECT_EQ(zip.read(name).text(), source.read(name).text());
  EXPECT_TRUE(zip.find("deflated.txt")->deflated);
  listing(zip);
}

TEST(Zip, StreamedArchivesCanBeEditedInPlace) {
  TemporaryFolder folder;
  std::filesystem::copy(kData + "streamed.zip", folder / "s.zip");
  ZipEdit edit(ZipFile::open(folder / "s.zip"));
  edit.patch("a.txt", 0, as_bytes("S"));
  edit.write(folder / "s.zip");
  EXPECT_EQ(listing(ZipFile::open(folder / "s.zip"))[0], "a.txt=Streamed a");
}

TEST(Zip, RefusesUseThatCannotWork) {
  ZipEdit edit(ZipFile::open(kData + "plain.zip"));
  error_of(ErrorKind::Usage, [&] { edit.patch("deflated.txt", 0, as_bytes("x")); });
  error_of(ErrorKind::Usage, [&] { edit.patch("stored.txt", 11, as_bytes("xx")); });
  error_of(ErrorKind::Usage, [&] { edit.patch("absent", 0, as_bytes("xx")); });
  edit.patch("stored.txt", 3, as_bytes("xx"));
  error_of(ErrorKind::Usage, [&] { edit.patch("stored.txt", 4, as_bytes("x")); });
  error_of(ErrorKind::Usage, [&] { edit.patch("stored.txt", 2, as_bytes("xx")); });
}

TEST(Zip, RefusesDamage) {
  std::string path = kData + "plain.zip";
  ZipFile good = ZipFile::open(path);
  const ZipMember& stored = *good.find("stored.txt");
  const ZipMember& deflated = *good.find("deflated.txt");
  // A byte of stored data: only `verify` looks.
  ZipFile flipped("f.zip", changed(path, stored.offset, "J"));
  std::string error = error_of(ErrorKind::BadFile, [&] { flipped.verify("stored.txt"); });
  EXPECT_NE(error.find("[f.zip: stored.txt] its checksum"), std::string::npos) << error;
  // A bomb: the directory claims 4 GB from a few bytes.
  ZipFile bomb("b.zip", changed(path, deflated.central_header + 24, "\xf0\xff\xff\xff"));
  error = error_of(ErrorKind::BadFile, [&] { bomb.read("deflated.txt"); });
  EXPECT_NE(error.find("declares 4294967280 bytes from"), std::string::npos) << error;
  // A moderate lie is found while inflating.
  ZipFile lie("l.zip", changed(path, deflated.central_header + 24, std::string_view("\x10\0\0\0", 4)));
  error_of(ErrorKind::BadFile, [&] { lie.read("deflated.txt"); });
  // Two members in one place.
  uint32_t first = static_cast<uint32_t>(stored.local_header);
  std::string_view place(reinterpret_cast<const char*>(&first), 4);
  error_of(ErrorKind::BadFile, [&] { ZipFile("o.zip", changed(path, deflated.central_header + 42, place)); });
  // Encrypted; compressed by something else.
  error_of(ErrorKind::BadFile, [&] { ZipFile("e.zip", changed(path, stored.central_header + 8, "\1")); });
  error_of(ErrorKind::BadFile, [&] { ZipFile("m.zip", changed(path, stored.central_header + 10, "\x0c")); });
  error_of(ErrorKind::BadFile, [&] { ZipFile("t.zip", share(file_text(path).substr(0, 600))); });
  error_of(ErrorKind::BadFile, [&] { ZipFile("t.zip", share(std::string("PK"))); });
  error_of(ErrorKind::BadFile, [&] { good.read("absent"); });
}

// The end of a file of more than 4 GB, without the 4 GB: a sparse file, of which only the headers take room.
TEST(Zip, Zip64BeyondFourGigabytes) {
  TemporaryFolder folder;
  const uint64_t size = (uint64_t{1} << 32) + 1000;
  if (std::filesystem::space(folder.path()).available < 5 * (uint64_t{1} << 30)) GTEST_SKIP() << "not enough room";
  if (!std::getenv("MIDSTREAM_BIG_TESTS")) GTEST_SKIP() << "set MIDSTREAM_BIG_TESTS to write and read 8 GB";
  std::vector<std::byte> zeros(size);
  zeros.back() = std::byte{1};
  write_zip(folder / "big.zip", {{"big", zeros}, {"after", as_bytes("behind")}});
  ZipFile zip = ZipFile::open(folder / "big.zip");
  EXPECT_EQ(zip.read("big").size(), size);
  EXPECT_EQ(zip.read("after").text(), "behind");
  ZipEdit edit(zip);
  edit.patch("big", size - 1, as_bytes("x"));
  edit.replace("after", as_bytes("changed"));
  edit.write(folder / "big.zip");
  zip = ZipFile::open(folder / "big.zip");
  zip.verify("big");
  EXPECT_EQ(zip.read("after").text(), "changed");
}

}  // namespace
}  // namespace midstream
