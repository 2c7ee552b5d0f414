"""`python -m coordinator` is `pipeline-coordinator`."""

from penstock.launch import coordinator as main

if __name__ == "__main__":
    main()
