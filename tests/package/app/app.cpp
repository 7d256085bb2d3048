#include <onepass/onepass.hpp>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  auto model = onepass::Model::open(argv[1]);
  if (!model) return std::cerr << model.error().text() << '\n', 1;
  auto session = onepass::Session::open(*model).value();
  for (const auto& label : session.classify(argv[2]).value().labels("emotion")) std::cout << label.name << '\n';
}
