import sys


def main():
    for name in sys.argv[1:]:
        print(f"hello {name}")


if __name__ == "__main__":
    main()
