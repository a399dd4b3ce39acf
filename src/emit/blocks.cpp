// A block is a stretch of steps with one result that appears again with other weights and perhaps other numbers. Of all
// candidates the one is taken that saves most lines, those first whose borders are borders of the layers' names
// ("conv2_block1_..."), until none saves any.
#include "emit/blocks.h"

#include <algorithm>

#include "emit/names.h"
#include "emit/structure.h"

namespace midstream::emit {
namespace {

constexpr size_t kLongest = 96;    // steps of a block
constexpr double kClassLines = 7;  // a class costs this many lines of its own
constexpr double kLeastSaved = 3;

struct Candidate {
  std::vector<size_t> starts;
  size_t length = 0;
  double saved = 0;  // lines, weighted by how well the borders agree with names
};

class Finder {
 public:
  Finder(Program& program, int cls)
      : p_(program), cls_(cls), module_(program.classes[static_cast<size_t>(cls)].instances.at(0)) {
    prepare();
  }
  bool replace_best();

 private:
  const Module& first() const { return p_.modules[static_cast<size_t>(module_)]; }
  void prepare();
  double lines(size_t i) const;
  bool same_layer(size_t a, size_t b) const;
  ptrdiff_t step_before(size_t start) const;
  bool borders_ok(size_t start, size_t length) const;
  double alignment(size_t start, size_t length) const;
  bool periodic(size_t start, size_t length) const;
  std::optional<Window> window_at(size_t start, size_t length) const;
  std::vector<const Step*> steps_at(size_t start, size_t length) const;
  Candidate candidate(size_t start, size_t length, const std::vector<size_t>& others);
  void replace(const Candidate& best);
  std::string prefix(const Module& module, size_t start, size_t length) const;

  Program& p_;
  int cls_, module_;
  std::optional<BodyIndex> index_;
  std::vector<int> sig_;
  std::vector<std::vector<std::string>> names_;  // of the steps; empty: named automatically
};

void Finder::prepare() {
  index_.emplace(p_, first().body, first().outputs);
  std::map<std::string, int> known;
  for (const Step& step : first().body) {
    sig_.push_back(known.emplace(signature(p_, step), static_cast<int>(known.size())).first->second);
    const std::string name = relative(step.path, first().path);
    names_.push_back(is_automatic(name, step.op) ? std::vector<std::string>{} : words(name));
  }
}

// What a step costs in the printed source, its attribute included.
double Finder::lines(size_t i) const {
  const Step& step = first().body[i];
  size_t inner = 0;
  for (const auto& body : step.bodies) for_each_step(body, [&](const Step&) { ++inner; });
  if (inner > 0) return 3 + static_cast<double>(inner);
  if (step.kind != Step::Kind::Module) return 0.5;
  return p_.modules[static_cast<size_t>(step.module)].heavy ? 2 : 1.5;
}

bool Finder::same_layer(size_t a, size_t b) const {
  const Step &x = first().body[a], &y = first().body[b];
  return !x.path.empty() && x.path == y.path && x.call == y.call;
}

// The step before a block that begins at `start`, views that its first layer takes of its input left out; -1: none.
ptrdiff_t Finder::step_before(size_t start) const {
  auto before = static_cast<ptrdiff_t>(start) - 1;
  while (before >= 0 && first().body[start].kind == Step::Kind::Module &&
         first().body[static_cast<size_t>(before)].kind == Step::Kind::Expr &&
         same_layer(static_cast<size_t>(before), start))
    --before;
  return before;
}

// The parts of one layer stay together.
bool Finder::borders_ok(size_t start, size_t length) const {
  const ptrdiff_t before = step_before(start);
  if (before >= 0 && same_layer(static_cast<size_t>(before), start)) return false;
  return start + length >= first().body.size() || !same_layer(start + length - 1, start + length);
}

size_t in_common(const std::vector<std::string>& a, const std::vector<std::string>& b) { return common_words({a, b}); }

// Do the borders agree with the names? Above 1: the steps are all those with a common beginning; below: they cut one.
double Finder::alignment(size_t start, size_t length) const {
  const std::vector<std::vector<std::string>> inside(names_.begin() + static_cast<ptrdiff_t>(start),
                                                     names_.begin() + static_cast<ptrdiff_t>(start + length));
  if (std::any_of(inside.begin(), inside.end(), [](const auto& n) { return n.empty(); })) return 1;
  const size_t common = common_words(inside);
  const ptrdiff_t previous = step_before(start);
  const size_t before = previous >= 0 ? in_common(names_[static_cast<size_t>(previous)], inside.front()) : 0;
  const size_t behind = start + length < names_.size() ? in_common(names_[start + length], inside.back()) : 0;
  if (common > std::max(before, behind)) return 1.5;
  return std::max(before, behind) > common || common > 0 ? 0.4 : 1;
}

// Is it several repetitions of something shorter?
bool Finder::periodic(size_t start, size_t length) const {
  for (size_t period = 1; period <= length / 2; ++period) {
    if (length % period != 0) continue;
    bool repeats = true;
    for (size_t i = start; i + period < start + length && repeats; ++i) repeats = sig_[i] == sig_[i + period];
    if (repeats) return true;
  }
  return false;
}

std::vector<size_t> range(size_t start, size_t length) {
  std::vector<size_t> out;
  for (size_t i = start; i < start + length; ++i) out.push_back(i);
  return out;
}

std::optional<Window> Finder::window_at(size_t start, size_t length) const {
  if (!borders_ok(start, length)) return std::nullopt;
  Window w = window(p_, first().body, *index_, range(start, length));
  if (w.outputs.size() != 1 || w.inputs.empty() || w.inputs.size() > 4 || w.shares || w.modules.empty())
    return std::nullopt;
  for (size_t i = start; i < start + length; ++i)
    if (first().body[i].kind == Step::Kind::Assign) return std::nullopt;
  return w;
}

std::vector<const Step*> Finder::steps_at(size_t start, size_t length) const {
  std::vector<const Step*> out;
  for (size_t i = start; i < start + length; ++i) out.push_back(&first().body[i]);
  return out;
}

Candidate Finder::candidate(size_t start, size_t length, const std::vector<size_t>& others) {
  Candidate c{.starts = {}, .length = length};
  double each = 0;
  size_t modules = 0;
  for (size_t i = start; i < start + length; ++i) {
    each += lines(i);
    modules += first().body[i].kind == Step::Kind::Module;
  }
  const double most = static_cast<double>(others.size()) * (each - 2) * 1.5 + each;
  if (modules < 2 || each < 4 || most < kLeastSaved) return c;
  if (periodic(start, length) && alignment(start, length) <= 1) return c;
  const auto here = window_at(start, length);
  if (!here) return c;
  const std::vector<const Step*> code = steps_at(start, length);
  double agreement = alignment(start, length), worst = agreement;
  c.starts.push_back(start);
  for (const size_t other : others) {
    if (other < c.starts.back() + length) continue;
    const auto there = window_at(other, length);
    if (!there || !same_code(p_, code, *here, steps_at(other, length), *there)) continue;
    c.starts.push_back(other);
    agreement += alignment(other, length);
    worst = std::min(worst, alignment(other, length));
  }
  const auto count = static_cast<double>(c.starts.size());
  const double calls = 2 * count + static_cast<double>(here->inputs.size() - 1) * 2;
  c.saved = (count - 1) * each - kClassLines - calls;
  c.saved = c.saved * std::min(worst, 1.0) < kLeastSaved ? 0 : c.saved * agreement / count;
  return c;
}

bool Finder::replace_best() {
  const size_t n = sig_.size();
  // common[j]: how many signatures from i and from j on agree.
  std::vector<std::vector<uint16_t>> common(n + 1, std::vector<uint16_t>(n + 1, 0));
  for (size_t i = n; i-- > 0;)
    for (size_t j = n; j-- > i + 1;)
      if (sig_[i] == sig_[j]) common[i][j] = static_cast<uint16_t>(common[i + 1][j + 1] + 1);
  Candidate best;
  for (size_t i = 0; i < n; ++i)
    for (size_t length = 2; length <= std::min(kLongest, n - i); ++length) {
      std::vector<size_t> others;
      for (size_t j = i + length; j + length <= n; ++j)
        if (common[i][j] >= length) others.push_back(j);
      if (others.empty()) break;
      if (!borders_ok(i, length)) continue;
      Candidate c = candidate(i, length, others);
      if (c.saved > best.saved + 1e-9) best = std::move(c);
    }
  if (best.saved < kLeastSaved) return false;
  replace(best);
  return true;
}

// The beginning that the layers' names have in common, as a path; the scope's own where there is none.
std::string Finder::prefix(const Module& module, size_t start, size_t length) const {
  const std::string& scope = module.path;
  std::vector<std::vector<std::string>> names;
  for (size_t i = start; i < start + length; ++i) {
    const std::string name = relative(module.body[i].path, scope);
    if (name.empty() || is_automatic(name, module.body[i].op)) return scope;
    names.push_back(words(name));
  }
  const std::string common = joined(names[0], common_words(names));
  return common.empty() ? scope : scope.empty() ? common : scope + "/" + common;
}

void Finder::replace(const Candidate& best) {
  const std::vector<int> instances = p_.classes[static_cast<size_t>(cls_)].instances;
  for (const int id : instances) {
    Module& m = p_.modules[static_cast<size_t>(id)];
    const BodyIndex index(p_, m.body, m.outputs);
    std::vector<Window> windows;
    for (const size_t start : best.starts) windows.push_back(window(p_, m.body, index, range(start, best.length)));
    std::vector<Step> body;
    for (size_t i = 0, next = 0; i < m.body.size();) {
      if (next == best.starts.size() || i != best.starts[next]) {
        body.push_back(std::move(m.body[i++]));
        continue;
      }
      Class fresh;
      fresh.kind = "block";
      fresh.path = prefix(m, i, best.length);
      std::vector<Step> inner(std::make_move_iterator(m.body.begin() + static_cast<ptrdiff_t>(i)),
                              std::make_move_iterator(m.body.begin() + static_cast<ptrdiff_t>(i + best.length)));
      body.push_back(make_instance(p_, std::move(inner), windows[next++], fresh));
      body.back().path = fresh.path;
      i += best.length;
    }
    m.body = std::move(body);
    m.children = attributes_of(p_, m.body, m.inputs);
  }
}

}  // namespace

void find_blocks(Program& program) {
  for (size_t c = 0; c < program.classes.size(); ++c)
    while (Finder(program, static_cast<int>(c)).replace_best()) {
    }
}

namespace {

// "conv2_block1" -> "conv2", "block_3" and "block3" -> "block".
std::string row_name(const std::string& path, const std::string& scope) {
  std::vector<std::string> name = words(relative(path, scope));
  if (name.empty()) return {};
  if (name.size() > 1) return joined(name, name.size() - 1);
  std::string letters = name[0];
  while (!letters.empty() && isdigit(static_cast<unsigned char>(letters.back()))) letters.pop_back();
  return letters == name[0] ? std::string() : letters;
}

// Rows of steps (first, count) that hand one tensor through instances which nobody else calls.
std::vector<std::pair<size_t, size_t>> rows(const Program& program, const Module& m) {
  const std::string& scope = m.path;
  const BodyIndex index(program, m.body, m.outputs);
  const auto plain = [&](size_t i) {
    const Step& s = m.body[i];
    if (s.kind != Step::Kind::Module || program.modules[static_cast<size_t>(s.module)].cls < 0) return false;
    return s.expr.pieces.size() == 1 && s.outputs.size() == 1 && index.called.at(s.module).size() == 1 &&
           program.graph->type(s.outputs[0]).kind == Kind::Tensor && !program.leaf(s.expr.pieces[0].value);
  };
  const auto follows = [&](size_t i) {
    const auto uses = index.uses.find(m.body[i - 1].outputs[0].id);
    return m.body[i].expr.pieces[0].value == m.body[i - 1].outputs[0] && uses != index.uses.end() &&
           uses->second.size() == 1;
  };
  std::vector<std::pair<size_t, size_t>> out;
  for (size_t i = 0; i < m.body.size(); ++i) {
    if (!plain(i)) continue;
    const std::string name = row_name(m.body[i].path, scope);
    size_t end = i + 1;
    while (end < m.body.size() && plain(end) && follows(end) && row_name(m.body[end].path, scope) == name) ++end;
    if (end - i >= 2) out.push_back({i, end - i});
    i = end - 1;
  }
  return out;
}

void join(Program& program, int id, const std::vector<std::pair<size_t, size_t>>& found) {
  Module& m = program.modules[static_cast<size_t>(id)];
  const std::string scope = m.path;
  std::vector<Step> body;
  size_t next = 0;
  for (size_t i = 0; i < m.body.size(); ++i) {
    if (next == found.size() || i != found[next].first) {
      body.push_back(std::move(m.body[i]));
      continue;
    }
    const size_t count = found[next++].second;
    Module row{.type = "nn.Sequential"};
    row.heavy = true;
    const std::string name = row_name(m.body[i].path, scope);
    row.path = name.empty() ? scope : scope.empty() ? name : scope + "/" + name;
    Step step = std::move(m.body[i]);
    step.outputs = m.body[i + count - 1].outputs;
    row.children.push_back(step.module);
    for (size_t k = i + 1; k < i + count; ++k) row.children.push_back(m.body[k].module);
    step.module = static_cast<int>(program.modules.size());
    step.path = row.path;
    program.modules.push_back(std::move(row));
    body.push_back(std::move(step));
    i += count - 1;
  }
  m.body = std::move(body);
  m.children = attributes_of(program, m.body, m.inputs);
}

}  // namespace

void join_rows(Program& program) {
  for (const Class& cls : program.classes) {
    const auto found = rows(program, program.modules[static_cast<size_t>(cls.instances[0])]);
    if (found.empty()) continue;
    for (const int id : cls.instances) join(program, id, found);
  }
}

}  // namespace midstream::emit
