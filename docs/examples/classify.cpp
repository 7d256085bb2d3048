// The labels of a text: classify MODEL TEXT
#include <onepass/onepass.hpp>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto model = onepass::Model::open(argv[1]);
  if (!model) return std::cerr << model.error().text() << '\n', 1;
  auto session = onepass::Session::open(*model).value();
  const auto answer = session.classify(argv[2]).value();
  for (const auto& [name, score, applies] : answer.scores(model->heads()[0].name)) {
    std::cout << (applies ? "* " : "  ") << name << ' ' << score << '\n';
  }
}
